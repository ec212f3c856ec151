"""Stations over cameras that run by themselves: killed, frozen, replaced by nonsense, changed in size."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any
from urllib.request import urlopen

import pytest
from agent_box import Box, wait_until
from cameras import Babbler, Camera
from controllers import Controller, free_port


@pytest.fixture
def camera() -> Iterator[Camera]:
    made = Camera()
    yield made
    made.close()


@pytest.fixture
def looking(box: Box, camera: Camera) -> Box:
    """A box whose station looks through the camera."""
    box.settings["stations"][0]["source"] = {"rtsp": camera.url, "timeout_ms": 1000, "max_frame_bytes": 65536}
    box.settings |= {"drain_s": 0.5, "http": {"port": free_port()}}
    return box


def figure(box: Box, name: str) -> float:
    """One of the station's, as Prometheus gets it; -1 while there is none."""
    try:
        with urlopen(f"http://127.0.0.1:{box.settings['http']['port']}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
    except OSError:
        return -1
    return next((float(line.split()[-1]) for line in lines if line.startswith(f"edgemill_{name}_total{{")), -1)


def stopped(agent: subprocess.Popen[str]) -> tuple[dict[str, Any], str]:
    """The station's account, and what the agent said."""
    agent.terminate()
    out, err = agent.communicate(timeout=60)
    assert agent.returncode == 0, err
    found: dict[str, Any] = json.loads(out)["stations"]["cell"]
    return found, err


def goes_on(box: Box, more: int = 5) -> None:
    before = box.recorded()
    wait_until(lambda: box.recorded() >= before + more, "verdicts")


def test_a_camera_that_is_killed_frozen_or_talks_nonsense_is_come_back_to(looking: Box, camera: Camera) -> None:
    agent = looking.start()
    goes_on(looking)
    worker = looking.processes()["cell/source"]
    camera.kill()
    camera.start()
    goes_on(looking)
    camera.signal(signal.SIGSTOP)
    time.sleep(1.5)  # longer than timeout_ms
    camera.signal(signal.SIGCONT)
    goes_on(looking)
    camera.kill()
    babbler = Babbler(camera.port)
    wait_until(lambda: babbler.spoken_to >= 3, "the source to hear nonsense")
    babbler.close()
    camera.start((128, 96))  # and another size
    goes_on(looking)
    wait_until(lambda: figure(looking, "reconnects") == 3, "figures")
    assert figure(looking, "dropped") >= 0
    assert looking.processes()["cell/source"] == worker  # it stayed alive through all this
    account, said = stopped(agent)
    assert account["reconnects"] == 3
    assert account["source_restarts"] == account["engine_restarts"] == account["safe"] == 0
    handed_out = account["captured"] - account["dropped"]
    assert 0 <= handed_out - account["verdicts"] <= 3  # the last ones, when it was stopped
    items = looking.items()
    assert items == sorted(set(items))
    assert "silent for 1 s" in said
    assert said.count("the camera is back after") == 3


def test_names_rise_over_a_restart_of_the_worker_and_of_the_agent(looking: Box) -> None:
    agent = looking.start()
    goes_on(looking)
    dead = looking.kill("cell/source")
    wait_until(lambda: looking.processes().get("cell/source", dead) != dead, "another worker")
    goes_on(looking)
    stopped(agent)
    agent = looking.start()
    goes_on(looking)
    stopped(agent)
    items = looking.items()
    assert items == sorted(set(items))
    newest = datetime.fromisoformat(items[-1].replace("Z", "+00:00"))
    assert abs((datetime.now(timezone.utc) - newest).total_seconds()) < 30


def test_a_camera_that_is_not_there_yet_keeps_the_station_waiting(looking: Box, camera: Camera) -> None:
    camera.kill()
    agent = looking.start()
    wait_until(lambda: figure(looking, "reconnects") == 0, "the agent to run")
    assert looking.recorded() == 0
    camera.start()
    goes_on(looking)
    account, said = stopped(agent)
    assert "the camera is gone: Connection refused" in said
    assert account["source_restarts"] == 0


def test_two_stations_look_through_one_camera(looking: Box) -> None:
    looking.settings["stations"].append({**looking.settings["stations"][0], "name": "other"})
    agent = looking.start()

    def both() -> bool:
        stations = [record.header.station for record in looking.verdicts()] if looking.recorded() else []
        return stations.count("cell") > 5 and stations.count("other") > 5

    wait_until(both, "verdicts of both")
    stopped(agent)


def test_frames_too_large_for_a_slot_are_rejected_with_the_reason(looking: Box, camera: Camera) -> None:
    looking.settings["stations"][0]["source"]["max_frame_bytes"] = 1024
    agent = looking.start()
    goes_on(looking, 2)
    account, _ = stopped(agent)
    assert account["safe"] == account["verdicts"]
    payload = looking.verdicts()[0].payload
    assert payload is not None
    assert payload.content()["verdict"]["reasons"] == ["the picture takes 18432 bytes, a slot has 1024"]


def test_a_triggered_part_gets_a_frame_of_its_own_moment_or_the_safe_verdict_in_time(
    looking: Box, camera: Camera
) -> None:
    controller = Controller("modbus")
    try:
        looking.settings["stations"][0] |= {
            "deadline_ms": 400,
            "trigger": {**controller.place, "counter": controller.points["counter"]},
            "outputs": [
                {**controller.place, "number": controller.points["number"], "ready": controller.points["ready"]}
            ],
        }
        agent = looking.start()
        ready = lambda: controller.report()["values"]["ready"]  # noqa: E731
        wait_until(ready, "the station to be ready")
        fired = datetime.now(timezone.utc)
        controller.ask(parts=1, every_s=0.3, seed=1)
        wait_until(lambda: looking.recorded() == 1, "the part's verdict")
        camera.kill()
        wait_until(lambda: not ready(), "the station not to be ready")
        controller.ask(parts=3, every_s=0.1, seed=2)
        wait_until(lambda: looking.recorded() == 4, "safe verdicts")
        camera.start()
        wait_until(ready, "the station to be ready again")
        controller.ask(parts=2, every_s=0.3, seed=3)
        wait_until(lambda: looking.recorded() == 6, "verdicts")
        account, _ = stopped(agent)
    finally:
        controller.close()
    told = [record.payload.content() for record in looking.verdicts() if record.payload]
    assert ["late" in one for one in told] == [False, True, True, True, False, False]
    assert all(400 <= one["ms"] < 1500 for one in told[1:4])
    assert [bool(one["item"]) for one in told] == [True, False, False, False, True, True]
    assert datetime.fromisoformat(told[0]["item"].replace("Z", "+00:00")) >= fired
    assert account["late"] == 3
    assert account["captured"] - account["dropped"] <= 3 + 1
