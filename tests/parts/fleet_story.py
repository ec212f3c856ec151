"""A plant in earnest: `edgemill fleet serve`, a mosquitto with the configuration that is written for it, and boxes that
were let in by a code and run real agents.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from agent_box import Box, wait_until
from fleet_broker import FleetBroker, free_port, some_ports

from edgemill.cli.fleet.rest import FleetClient
from edgemill_agent.settings import read_settings
from edgemill_agent.updating.slots import read_slots
from edgemill_core.bundle import Bundle, describe_files, write_bundle
from edgemill_fleet.access_file import Access
from edgemill_fleet.broker.mosquitto import Ports
from edgemill_fleet.founding import add_person, found
from edgemill_fleet.identity.authority import Authority
from edgemill_fleet.identity.roles import Role
from edgemill_fleet.releases.keys import KEY, signer_of
from edgemill_fleet.releases.publishing import publish
from edgemill_fleet.releases.repository import Repository
from edgemill_fleet.serving.serve import refresh
from edgemill_fleet.settings import FleetFolder, open_folder
from edgemill_link.broker_settings import BrokerSettings


def now() -> datetime:
    return datetime.now(timezone.utc)


def make_fleet(place: Path, ports: Ports, **more: object) -> FleetFolder:
    """Of this machine, with the broker at these ports."""
    at = f"127.0.0.1:{free_port()}"
    files = {"ca": "ca.pem", "certificate": "keys/intake.pem", "key": "keys/intake.key.pem"}
    settings: dict[str, object] = {
        "name": "plant",
        "url": f"https://{at}",
        "listen": at,
        "broker": f"mqtts://127.0.0.1:{ports.boxes}",
        "mqtt": {"url": f"mqtts://127.0.0.1:{ports.intake}", **files},
        **more,
    }
    found(place, settings, now())
    folder = open_folder(place)
    refresh(folder, Authority.open(place), lambda _: None)
    return folder


def version_of(bundle: Bundle, version: str, folder: Path, broken: bool = False) -> Bundle:
    """The bundle under another version; a broken one gives other outputs than its golden samples say."""
    place = folder / f"copy-{version}"
    shutil.copytree(bundle.folder, place)
    manifest = bundle.manifest.model_copy(update={"version": version})
    if broken:
        (model,) = manifest.models
        files = dict(manifest.files)
        for variant in model.variants:
            golden = place / variant.golden.outputs
            np.save(golden, np.load(golden)[::-1] * 0.5, allow_pickle=False)
            files |= describe_files(place, [variant.golden.outputs])
        manifest = manifest.model_copy(update={"files": files})
    return write_bundle(place, manifest, folder / f"tiny-{version}")


def release_to(fleet: FleetFolder, bundle: Bundle) -> None:
    """Sign for it, as whoever has the keys does."""
    publish(
        Repository(fleet.releases), bundle, [signer_of(fleet.keys / f"{name}{KEY}") for name in ("release", "online")]
    )


@dataclass
class Person:
    """Who speaks to the fleet, by REST over TLS."""

    client: FleetClient

    def approve_release(self, release: str) -> None:
        self.client.post("releases", *release.split("/"), "approve")

    def turn(self, rollout: int, verb: str, **told: object) -> None:
        self.client.post("rollouts", rollout, verb, content=told or None)


class Fleet:
    """The fleet manager as a process of its own, and its broker."""

    def __init__(self, place: Path) -> None:
        ports = some_ports()
        self.folder = make_fleet(place / "fleet", ports)
        (place / "broker").mkdir()
        self.broker = FleetBroker(self.folder, place / "broker", ports)
        self.said = place / "serve.log"
        self.anna, self.ben = (self._person(name) for name in ("anna", "ben"))
        self._serve: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.broker.start()
        command = [sys.executable, "-m", "edgemill", "fleet", "serve", str(self.folder.path)]
        with self.said.open("ab") as log:
            self._serve = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self._serve.stdout is not None
        assert "the fleet answers at" in self._serve.stdout.readline(), self.said.read_text()

    def hang_up(self) -> None:
        """The people go: a server that is told to end waits for those who are connected."""
        for person in (self.anna, self.ben):
            person.client._pool.clear()

    def stop(self) -> None:
        self.hang_up()
        if self._serve is not None:
            self._serve.send_signal(signal.SIGTERM)
            self._serve.communicate(timeout=60)
        self.broker.close()

    def code(self, device: str, group: str = "") -> str:
        return str(self.anna.client.post("enrolments", content={"device": device, "group": group})["code"])

    def release(self, bundle: Bundle) -> None:
        """Signed, proposed by one and approved by another."""
        release_to(self.folder, bundle)
        name, version = bundle.manifest.name, bundle.manifest.version
        self.anna.client.post("releases", content={"name": name, "version": version})
        self.ben.approve_release(f"{name}/{version}")

    def roll_out(
        self, version: str, waves: list[dict[str, object]], silent_s: float = 600.0, name: str = "tiny"
    ) -> int:
        """Proposed by one and approved by another."""
        thresholds = {"failures": 0, "silent_s": silent_s}
        asked = {"name": name, "version": version, "waves": waves, "thresholds": thresholds}
        made = self.anna.client.post("rollouts", content=asked)
        self.ben.turn(made["id"], "approve")
        return int(made["id"])

    def rollout(self, number: int) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.anna.client.get("rollouts", number)
        return found

    def outcomes(self, number: int) -> dict[str, str]:
        members = self.anna.client.get("rollouts", number, "devices")
        return {one["device"]: one["outcome"] for one in members}

    def wait(self, number: int, course: str) -> Mapping[str, Any]:
        wait_until(lambda: self.rollout(number)["course"] == course, f"rollout {number} to be {course}")
        return self.rollout(number)

    def _person(self, name: str) -> Person:
        access: Access = add_person(self.folder, Authority.open(self.folder.path), name, Role.ADMIN, now())
        return Person(FleetClient(access))


@dataclass
class Line:
    """A box of the plant. Its timer is a thread that says `agent update` whenever another plan lies there.

    Attributes:
        versions: that its plan named, in their order.
        asked_s: when the last plan came, in seconds since 1970.
    """

    box: Box
    fleet: Fleet
    versions: list[str] = field(default_factory=list)
    asked_s: float = 0.0
    agent: subprocess.Popen[str] | None = None
    _over: threading.Event = field(default_factory=threading.Event)
    _timer: threading.Thread | None = None

    @property
    def name(self) -> str:
        return str(self.box.settings["device"]["id"])

    @property
    def plan(self) -> Path:
        return self.fleet.folder.releases / "plans" / f"{self.name}.json"

    @property
    def runs(self) -> str:
        active = read_slots(self.box.state, "tiny").active
        return active.version if active is not None else ""

    def enrol(self, edgemill: Callable[..., subprocess.CompletedProcess[str]]) -> None:
        done = edgemill("agent", "enrol", self.box.write(), "--code", self.fleet.code(self.name))
        assert done.returncode == 0, done.stderr

    def update(self) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "edgemill", "agent", "update", str(self.box.folder / "agent.yaml"), "--json"]
        return subprocess.run(command, capture_output=True, text=True, timeout=300)

    def start(self) -> None:
        self.agent = self.box.start()

    def end(self) -> dict[str, Any]:
        assert self.agent is not None
        self.agent.send_signal(signal.SIGTERM)
        return self.box.end(self.agent)

    def broker_settings(self) -> BrokerSettings:
        found = read_settings(self.box.folder / "agent.yaml").mqtt
        assert found is not None
        return found

    def start_timer(self) -> None:
        self._over.clear()
        self._timer = threading.Thread(target=self._tick)
        self._timer.start()

    def stop_timer(self) -> None:
        self._over.set()
        if self._timer is not None:
            self._timer.join()

    def _tick(self) -> None:
        seen = b""
        while not self._over.wait(0.2):
            now_there = self.plan.read_bytes() if self.plan.exists() else b""
            if now_there == seen:
                continue
            seen = now_there
            named = json.loads(seen)["signed"]["releases"]
            self.versions += [one["version"] for one in named]
            self.asked_s = self.plan.stat().st_mtime
            self.update()


def make_line(place: Path, fleet: Fleet, device: str, pictures: Path) -> Line:
    """A box with one station that judges the same pictures again and again."""
    place.mkdir()
    source = {"folder": str(pictures), "labels": str(pictures / "labels.csv"), "loop": True, "max_frame_bytes": 65536}
    station = {
        "name": "cell",
        "bundle": "release:tiny",
        "runtime": "onnxruntime",
        "source": source,
        "swap": {"trial_parts": 20},
    }
    settings = {"device": {"id": device}, "fleet": {"identity": "auto"}, "stations": [station], "drain_s": 5}
    return Line(Box(place, settings), fleet)
