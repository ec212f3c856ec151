"""What each check says of what it is told: decisions without a box."""

from __future__ import annotations

import random
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemill_agent.health import broker, camera, clock, disk, engine, late, memory, plc, temperature
from edgemill_agent.health.disk import Room
from edgemill_agent.health.facts import StationFacts
from edgemill_agent.health.finding import State
from edgemill_agent.health.memory import Creep, Track, slope
from edgemill_agent.health.sensors import Heat, read_heat

MB = 1 << 20
GB = 1 << 30
HOUR = 3600.0
NOW = datetime(2026, 11, 20, tzinfo=timezone.utc).timestamp()


@pytest.mark.parametrize(
    ("room", "trouble", "state", "what"),
    [
        (Room(10 * GB, 10**6, GB, MB), "", State.OK, "10240 MB free"),
        (Room(2 * GB, 10**6, GB, MB), "", State.WARNING, "may still grow by 3072 MB, and 2048 MB are free"),
        (Room(100 * MB, 10**6, 4 * GB, MB), "", State.ALARM, "100 MB are free"),
        (Room(10 * GB, 12, GB, MB), "", State.ALARM, "only 12 more files"),
        (Room(10 * GB, None, GB, MB), "", State.OK, ""),
        (Room(10 * GB, 10**6, 4 * GB, int(3.5 * GB)), "", State.WARNING, "headers"),
        (Room(10 * GB, 10**6, GB, MB), "the disk is full\n  to do: much", State.ALARM, "written: the disk is full"),
    ],
)
def test_disk(room: Room, trouble: str, state: State, what: str) -> None:
    found = disk.judge(room, 4 * GB, 256 * MB, trouble)
    assert found.state is state
    assert what in found.what
    assert "\n" not in found.what
    assert bool(found.to_do) == (state is not State.OK)


@pytest.mark.parametrize(
    ("heat", "throttlings", "state", "what"),
    [
        (Heat(None), 0, State.UNKNOWN, "not"),
        (Heat(None, throttled=("the voltage is too low",)), 0, State.WARNING, "voltage"),
        (Heat(50, "cpu", counted=True), 0, State.OK, "50 °C at cpu"),
        (Heat(50, "cpu"), 0, State.OK, "not to be had"),
        (Heat(86, "cpu"), 0, State.WARNING, "the limit is 85"),
        (Heat(95, "cpu"), 0, State.ALARM, "the limit is 85"),
        (Heat(60, "cpu", too_hot=("60 °C at nvme, critical from 59 on",)), 0, State.ALARM, "critical from 59"),
        (Heat(50, "cpu"), 2, State.WARNING, "throttled 2 times"),
        (Heat(50, "cpu", throttled=("cpufreq is held back by 3 steps",)), 0, State.WARNING, "held back"),
        (Heat(50, "cpu", capped=True), 0, State.OK, ""),
        (Heat(80, "cpu", capped=True), 0, State.WARNING, "capped"),
    ],
)
def test_temperature(heat: Heat, throttlings: int, state: State, what: str) -> None:
    found = temperature.judge(heat, throttlings, 85)
    assert (found.state, what in found.what) == (state, True), found


def put(sys: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (sys / name).parent.mkdir(parents=True, exist_ok=True)
        (sys / name).write_text(f"{text}\n")
    return sys


PC = {
    "class/thermal/thermal_zone0/temp": "27800",
    "class/thermal/thermal_zone0/type": "acpitz",
    "class/thermal/thermal_zone0/trip_point_0_type": "critical",
    "class/thermal/thermal_zone0/trip_point_0_temp": "105000",
    "class/thermal/thermal_zone0/trip_point_1_type": "passive",
    "class/thermal/thermal_zone0/trip_point_1_temp": "70000",
    "class/hwmon/hwmon1/name": "coretemp",
    "class/hwmon/hwmon1/temp1_input": "63000",
    "class/hwmon/hwmon1/temp1_label": "Package id 0",
    "class/hwmon/hwmon1/temp1_crit": "100000",
    "class/hwmon/hwmon1/temp2_input": "99000",
    "class/hwmon/hwmon1/temp2_fault": "1",
    "class/thermal/cooling_device0/type": "pwm-fan",
    "class/thermal/cooling_device0/cur_state": "4",
    "class/thermal/cooling_device1/type": "Processor",
    "class/thermal/cooling_device1/cur_state": "0",
    "devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "3",
    "devices/system/cpu/cpu1/thermal_throttle/package_throttle_count": "4",
    "devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "3000000",
    "devices/system/cpu/cpu0/cpufreq/scaling_max_freq": "3000000",
}
JETSON = {
    "class/thermal/thermal_zone0/temp": "48312",
    "class/thermal/thermal_zone0/type": "cpu-thermal",
    "class/thermal/thermal_zone5/temp": "51000",
    "class/thermal/thermal_zone5/type": "tj-thermal",
    "class/thermal/thermal_zone6/temp": "-256000",
    "class/thermal/thermal_zone6/type": "cv0-thermal",
    "class/hwmon/hwmon3/oc1_event_cnt": "2",
    "class/thermal/cooling_device7/type": "cpufreq-cpu0",
    "class/thermal/cooling_device7/cur_state": "3",
    "devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "2200000",
    "devices/system/cpu/cpu0/cpufreq/scaling_max_freq": "1400000",
}
PI = {"class/thermal/thermal_zone0/temp": "60000", "devices/platform/soc/soc:firmware/get_throttled": "50005"}


def test_sensors_of_a_pc_a_jetson_and_a_raspberry_pi(tmp_path: Path) -> None:
    assert read_heat(put(tmp_path / "pc", PC)) == Heat(63, "coretemp Package id 0", (), (), 7, True, False)
    jetson = read_heat(put(tmp_path / "jetson", JETSON))
    assert jetson == Heat(51, "tj-thermal", (), ("cpufreq-cpu0 is held back by 3 steps",), 2, True, True)
    pi = read_heat(put(tmp_path / "pi", PI))
    assert pi == Heat(60, "thermal_zone0", (), ("the voltage is too low", "the processor is throttled"), 0, True)
    assert read_heat(tmp_path / "nowhere") == Heat(None)
    hotter = {**PC, "class/hwmon/hwmon1/temp1_input": "86000", "class/hwmon/hwmon2/name": "nvme"}
    hotter |= {"class/hwmon/hwmon2/temp1_input": "40000", "class/hwmon/hwmon2/temp1_crit": "84850"}
    assert read_heat(put(tmp_path / "pc", hotter)).too_hot == (), "each sensor has its own limit"
    hotter["class/hwmon/hwmon2/temp1_input"] = "85000"
    assert read_heat(put(tmp_path / "pc", hotter)).too_hot == ("85 °C at nvme temp1, critical from 85 on",)
    hotter["class/thermal/thermal_zone0/temp"] = "105000"
    assert len(read_heat(put(tmp_path / "pc", hotter)).too_hot) == 2
    (tmp_path / "pi/class/thermal/thermal_zone0/temp").write_text("n/a")
    assert read_heat(tmp_path / "pi").hottest_c is None


@pytest.mark.parametrize(
    ("utc_s", "synchronised", "alone_s", "jump", "state", "what"),
    [
        (NOW, True, 0, None, State.OK, "kept right"),
        (NOW, False, HOUR - 1, None, State.OK, "60 minutes"),
        (NOW, False, HOUR + 1, None, State.WARNING, "60 minutes"),
        (NOW, None, 0, None, State.UNKNOWN, "not to be had"),
        (NOW, None, 0, (1.0, -5.0), State.WARNING, "jumped by -5.0 s"),
        (3000.0, True, 0, None, State.ALARM, "1970-01-01 00:50"),
    ],
)
def test_clock(
    utc_s: float, synchronised: bool | None, alone_s: float, jump: tuple[float, float] | None, state: State, what: str
) -> None:
    found = clock.judge(utc_s, synchronised, alone_s, jump, HOUR)
    assert (found.state, what in found.what) == (state, True), found


def test_the_kernel_or_systemd_is_asked_about_the_clock(tmp_path: Path) -> None:
    assert clock.is_synchronised(tmp_path / "none") in (True, False, None)


def station(**told: object) -> StationFacts:
    return StationFacts("cell", **{"source_kind": "rtsp", **told})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "restarts", "still_s", "state", "restart"),
    [
        (station(), 0, 59, State.OK, ""),
        (station(), 0, 61, State.ALARM, "cell/source"),
        (station(source_kind="folder"), 0, 10_000, State.OK, ""),
        (station(source_open=False), 0, 0, State.ALARM, ""),
        (station(source_open=False, engine_ready=False), 0, 0, State.OK, ""),
        (station(source_open=False, over=True), 9, 99, State.OK, ""),
        (station(unfit_in_a_row=9, unfit="dark"), 0, 0, State.OK, ""),
        (station(unfit_in_a_row=10, unfit="dark"), 0, 0, State.ALARM, ""),
        (station(unfit_in_a_row=10, unfit="frozen"), 0, 0, State.ALARM, "cell/source"),
        (station(unfit_in_a_row=10, unfit="frozen", source_kind="folder"), 0, 0, State.ALARM, ""),
        (station(), 2, 0, State.OK, ""),
        (station(), 3, 0, State.WARNING, ""),
    ],
)
def test_camera(facts: StationFacts, restarts: int, still_s: float, state: State, restart: str) -> None:
    found = camera.judge(facts, restarts, still_s, 60)
    assert (found.state, found.restart) == (state, restart), found


@pytest.mark.parametrize(
    ("ready", "restarts", "away_s", "state"),
    [(True, 0, 0, State.OK), (False, 0, 119, State.OK), (False, 0, 121, State.ALARM), (True, 3, 0, State.ALARM)],
)
def test_engine(ready: bool, restarts: int, away_s: float, state: State) -> None:
    assert engine.judge(station(engine_ready=ready), restarts, away_s, 120).state is state


@pytest.mark.parametrize(
    ("behind", "away_s", "piling_s", "state"),
    [
        (0, 0, 0, State.OK),
        (5000, 29, 0, State.OK),
        (5000, 31, 0, State.WARNING),
        (5000, HOUR + 1, 0, State.ALARM),
        (1001, 0, 301, State.WARNING),
        (999, 0, 301, State.OK),
        (10**6, 0, 0, State.OK),  # it catches up
    ],
)
def test_broker(behind: int, away_s: float, piling_s: float, state: State) -> None:
    assert broker.judge(behind, away_s, piling_s, HOUR).state is state


@pytest.mark.parametrize(
    ("in_a_row", "lates", "verdicts", "state"),
    [
        (0, 0, 0, State.OK),
        (0, 2, 19, State.OK),
        (0, 1, 100, State.OK),
        (0, 2, 100, State.WARNING),
        (3, 3, 3, State.ALARM),
    ],
)
def test_late(in_a_row: int, lates: int, verdicts: int, state: State) -> None:
    assert late.judge(station(late_in_a_row=in_a_row), lates, verdicts, 0.01).state is state


@pytest.mark.parametrize(
    ("facts", "untold", "state"),
    [
        (station(trigger_connected=True), 0, State.OK),
        (station(trigger_connected=False), 0, State.ALARM),
        (station(trigger_connected=False, engine_ready=False), 0, State.OK),
        (station(trigger_connected=False, over=True), 0, State.OK),
        (station(output_troubles=("no answer in time",)), 0, State.ALARM),
        (station(), 1, State.WARNING),
    ],
)
def test_plc(facts: StationFacts, untold: int, state: State) -> None:
    assert plc.judge(facts, untold).state is state


@pytest.mark.parametrize(
    ("creeps", "free", "state", "restart"),
    [
        ([], 0.5, State.OK, ""),
        ([], 0.04, State.WARNING, ""),
        ([Creep("cell/engine", 31, 900)], 0.5, State.OK, ""),
        ([Creep("cell/engine", 33, 200)], 0.5, State.WARNING, ""),
        ([Creep("cell/engine", 33, 300), Creep("link", 99, 280)], 0.5, State.ALARM, "cell/engine"),
        ([Creep("line", 33, 300)], 0.5, State.ALARM, ""),
    ],
)
def test_memory(creeps: list[Creep], free: float, state: State, restart: str) -> None:
    found = memory.judge(creeps, free, 32, 256)
    assert (found.state, found.restart) == (state, restart), found


@settings(max_examples=40, deadline=None)
@given(st.floats(-1e3, 1e3), st.floats(-1e6, 1e6), st.integers(5, 40), st.randoms(use_true_random=False))
def test_the_slope_is_not_moved_by_a_quarter_of_wild_samples(
    a: float, b: float, count: int, rng: random.Random
) -> None:
    samples = [(float(x), a * x + b) for x in range(count)]
    for at in rng.sample(range(count), count // 4):
        samples[at] = (samples[at][0], rng.uniform(-1e9, 1e9))
    spread = sorted((y2 - y1) / (x2 - x1) for i, (x1, y1) in enumerate(samples) for x2, y2 in samples[i + 1 :])
    assert spread[0] <= slope(samples) <= spread[-1]
    assert abs(slope(samples) - a) <= 1e-6 * (1 + abs(a) + abs(b)) or count < 8


def test_a_slope_needs_two_samples() -> None:
    assert slope([]) == slope([(1, 5)]) == slope([(1, 5), (1, 9)]) == 0


def test_what_a_new_process_takes_while_it_loads_is_no_creep_and_a_step_is_none_either() -> None:
    track = Track(7)
    for minute in range(5):
        track.add(60.0 * minute, 100 * MB * minute)
    for minute in range(5, 35):
        assert track.creep("e", HOUR) is None
        track.add(60.0 * minute, (500 + 40 * (minute > 25)) * MB)
    track.add(60.0 * 35, 540 * MB)
    found = track.creep("e", HOUR)
    assert found is not None
    assert found.mb_per_hour == 0
    assert found.grown_mb == 40
    for minute in range(40, 200):
        track.add(60.0 * minute, (500 + minute) * MB + random.Random(minute).randrange(5 * MB))
    found = track.creep("e", HOUR)
    assert found is not None
    assert 50 < found.mb_per_hour < 70
    assert found.grown_mb > 150
