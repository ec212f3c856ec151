"""Settings that cannot be meant, and a box that cannot run: clear errors, exit codes, no hang."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from agent_box import PATIENCE_S, Box, wait_until

from edgemill_agent.settings import EvidenceSettings, read_settings
from edgemill_core.errors import SettingsError
from edgemill_core.ledger import Kind

GOOD: dict[str, Any] = {
    "device": {"id": "box"},
    "stations": [{"name": "s", "bundle": "b", "source": {"folder": "f"}}],
}


def write(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "agent.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **changes}, sort_keys=False))
    return path


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    station = {**GOOD["stations"][0], "quality": {"reference": "r.png"}}
    settings = read_settings(write(tmp_path, mqtt={"url": "mqtts://h", "ca": "ca.pem"}, stations=[station]))
    assert settings.stations[0].quality is not None
    assert settings.stations[0].quality.reference == tmp_path / "r.png"
    assert settings.state == tmp_path / "state"
    assert settings.stations[0].bundle == tmp_path / "b"
    assert settings.stations[0].source.folder == tmp_path / "f"
    assert settings.mqtt is not None
    assert settings.mqtt.ca == tmp_path / "ca.pem"


STATION = GOOD["stations"][0]
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a password in the wrong place": (
        {"stations": [{**STATION, "source": {"rtsp": "rtsp://me:hunt'er2@cam/x", "once": True}}]},
        "***:***@cam",
    ),
    "a look that is too seldom": ({"health": {"every": "2m"}}, "health.every"),
    "two sources in one": ({"stations": [{**STATION, "source": {"folder": "f", "rows": "r"}}]}, "exactly one of"),
    "a loop that ends": ({"stations": [{**STATION, "source": {"video": "v", "loop": True, "once": True}}]}, "name one"),
    "a loop of a camera": ({"stations": [{**STATION, "source": {"rtsp": "rtsp://h/", "loop": True}}]}, "loop is for"),
    "a size of a folder": ({"stations": [{**STATION, "source": {"folder": "f", "size": "9x9"}}]}, "size is for usb"),
    "a camera by another protocol": ({"stations": [{**STATION, "source": {"rtsp": "http://h/"}}]}, "source.rtsp"),
    "a USB camera by a path of elsewhere": ({"stations": [{**STATION, "source": {"usb": "video0"}}]}, "source.usb"),
    "two stations on one USB camera": (
        {"stations": [{**STATION, "name": name, "source": {"usb": "/dev/video0"}} for name in "ab"]},
        "an RTSP server in front of it",
    ),
    "a push to no port": ({"stations": [{**STATION, "source": {"push": {}}}]}, "source.push.port"),
    "a gate that asks nothing": ({"stations": [{**STATION, "quality": {}}]}, "at least one of: min_mean"),
    "a gate for numbers": (
        {"stations": [{**STATION, "source": {"rows": "r"}, "quality": {"min_mean": 1}}]},
        "quality is for a source that gives pictures",
    ),
    "an age without a unit": ({"retention": {"metrics": "90"}}, "retention.metrics"),
    "a quota too small to work with": ({"retention": {"quota": "1MiB"}}, "retention.quota"),
    "evidence of what is none": ({"stations": [{**STATION, "evidence": {"keep": ["all"]}}]}, "evidence.keep"),
    "an unknown key": ({"stations": [{**STATION, "dedline_ms": 5}]}, "stations.0.dedline_ms"),
    "no station": ({"stations": []}, "stations"),
    "the same name twice": ({"stations": [STATION, STATION]}, "twice: s"),
    "a slash in the device": ({"device": {"id": "a/b"}}, "device.id"),
    "a wildcard in the device": ({"device": {"id": "+"}}, "device.id"),
    "no source": ({"stations": [{"name": "s", "bundle": "b", "source": {}}]}, "exactly one of: folder, rows"),
    "a deadline of nothing": ({"stations": [{**STATION, "deadline_ms": 0}]}, "stations.0.deadline_ms"),
    "a late verdict that passes": ({"stations": [{**STATION, "late": "pass"}]}, "stations.0.late"),
    "no broker": ({"mqtt": {"url": "http://x"}}, "mqtt.url"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_meant_is_named_with_its_line(tmp_path: Path, case: str) -> None:
    changes, named = WRONG[case]
    with pytest.raises(SettingsError) as caught:
        read_settings(write(tmp_path, **changes))
    assert named in str(caught.value)
    assert ", line " in str(caught.value)


def test_sizes_and_ages_are_written_with_their_units(tmp_path: Path) -> None:
    settings = read_settings(write(tmp_path, retention={"quota": "64MiB", "evidence": "12h"}))
    retention, ages = settings.retention, settings.retention.ages(settings.stations)
    assert retention.quota == 64 << 20
    assert ages.payloads[Kind.EVIDENCE] == 12 * 3600
    assert ages.headers == 1095 * 86400


@pytest.mark.parametrize(
    ("keep", "decision", "late", "wanted"),
    [
        (("reject",), "reject", False, True),
        (("reject",), "pass", False, False),
        (("late",), "reject", True, True),
        (("late",), "reject", False, False),
        (("100%",), "pass", False, True),
    ],
)
def test_evidence_is_kept_by_decision_lateness_or_share(
    keep: tuple[str, ...], decision: str, late: bool, wanted: bool
) -> None:
    assert EvidenceSettings(keep=keep).wants(5, decision, late) is wanted


def test_a_share_of_all_parts_is_kept() -> None:
    settings = EvidenceSettings(keep=("2.5%",))
    assert sum(settings.wants(number, "pass", False) for number in range(10_000)) == 250


def test_there_are_no_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no agent settings at"):
        read_settings(tmp_path / "agent.yaml")


Command = Callable[..., subprocess.CompletedProcess[str]]


def test_a_bundle_that_is_not_there_ends_the_agent(box: Box, edgemill_command: Command) -> None:
    box.settings["stations"][0]["bundle"] = "gone"
    done = edgemill_command("agent", "run", box.write())
    assert done.returncode == 2
    assert "station cell" in done.stderr
    assert "gone" in done.stderr


def test_a_bundle_without_the_runtime_that_was_asked_for(box: Box, edgemill_command: Command) -> None:
    box.settings["stations"][0]["runtime"] = "tensorrt"
    done = edgemill_command("agent", "run", box.write())
    assert done.returncode == 2
    assert "no variant for 'tensorrt'" in done.stderr


def test_a_source_that_is_not_there_ends_the_agent(box: Box, edgemill_command: Command) -> None:
    box.settings["stations"][0]["source"] = {"folder": "gone"}
    done = edgemill_command("agent", "run", box.write())
    assert done.returncode == 2
    assert "cannot be read" in done.stderr


def test_a_state_folder_that_cannot_be_written(box: Box, edgemill_command: Command) -> None:
    (box.folder / "taken").write_text("")
    box.settings["state"] = "taken"
    done = edgemill_command("agent", "run", box.write())
    assert done.returncode == 2
    assert "state:" in done.stderr


def test_two_agents_on_one_ledger(box: Box, edgemill_command: Command) -> None:
    box.settings["stations"][0]["source"]["once"] = False
    agent = box.start()
    wait_until(lambda: box.recorded() == 60, "the first to work")
    done = edgemill_command("agent", "run", box.write())
    assert done.returncode == 2
    assert f"process {agent.pid} holds it" in done.stderr
    agent.terminate()
    box.end(agent)


def test_without_a_broker_it_works_and_ends(box: Box) -> None:
    box.settings |= {"mqtt": {"url": "mqtt://127.0.0.1:9"}, "drain_s": 0.5}
    account = box.run()
    assert account["stations"]["cell"]["verdicts"] == 60
    assert account["ledger"]["acknowledged"] == 0


def test_certificates_that_are_not_there_are_named_and_hold_nothing_up(box: Box) -> None:
    box.settings |= {"mqtt": {"url": "mqtts://127.0.0.1:9", "ca": "gone.pem"}, "drain_s": 0.5}
    agent = box.start()
    out, err = agent.communicate(timeout=PATIENCE_S)
    assert agent.returncode == 0, err
    assert '"verdicts": 60' in out
    assert "certificates for the broker cannot be used" in err


@pytest.mark.parametrize("folder", ["nowhere", "pictures"])
@pytest.mark.parametrize("what", ["stats", "verify"])
def test_there_is_no_ledger_to_look_at(box: Box, edgemill_command: Command, what: str, folder: str) -> None:
    done = edgemill_command("ledger", what, box.folder / folder)
    assert done.returncode == 2
    assert "no ledger to read" in done.stderr


def test_the_ledger_can_be_looked_at_checked_and_taken_along(box: Box, edgemill_command: Command) -> None:
    box.run()
    assert "60 verdicts, 0 declared lost" in edgemill_command("ledger", "stats", box.state).stdout
    assert edgemill_command("ledger", "verify", box.state).stdout.startswith("whole: 61 records")
    done = edgemill_command("ledger", "export", box.state, "--out", box.folder / "out.jsonl", "--after", 1)
    assert done.returncode == 0
    assert len((box.folder / "out.jsonl").read_text().splitlines()) == 60
    raw = bytearray((box.state / "ledger.db").read_bytes())
    place = raw.index(b'"item":"0007.png"')
    raw[place + 9] ^= 1
    (box.state / "ledger.db").write_bytes(raw)
    done = edgemill_command("ledger", "verify", box.state)
    assert done.returncode == 1
    assert "NOT whole: record 9: the payload" in done.stdout


def test_consume_refuses_what_is_no_broker(tmp_path: Path, edgemill_command: Command) -> None:
    done = edgemill_command("ledger", "consume", "--broker", "localhost", "--store", tmp_path / "store.db")
    assert done.returncode == 2
    assert "mqtt://HOST" in done.stderr
