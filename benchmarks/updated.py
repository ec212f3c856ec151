"""A release comes in the middle of the parts: signed, by HTTP, with tens of megabytes that are new; is any part late?

The agent looks for updates by itself. What serves the releases would not run on the box, so it takes what is left of
this machine. ``deadline.py --update`` runs it alone.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from form import Row, at_most, stated

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "parts"))
from controllers import free_port
from release_keys import Keys

from edgemill_agent.processes.priority import give_way
from edgemill_agent.updating.book import read_book
from edgemill_agent.updating.states import State
from edgemill_core.bundle import describe_files, open_bundle, write_bundle
from edgemill_fleet.releases.publishing import publish
from edgemill_fleet.releases.repository import Repository
from edgemill_link.trust.plan import Plan, PlannedRelease, sign_plan

if TYPE_CHECKING:
    from deadline import Box

NEW_MB = 40
VERSIONS = ("1.0.0", "1.1.0")
TRIAL_PARTS = 200
WARM, CALM, PIECE = 100, 500, 100
MOST_S, _SLEEP_S = 600.0, 0.005


class Stalls:
    """For how long this machine itself stands: a thread that only sleeps, at this process's priority, sees it."""

    def __init__(self) -> None:
        self.longest_s, self._over = 0.0, threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def stop(self) -> float:
        """Longest that it overslept, in seconds."""
        self._over.set()
        return self.longest_s

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._over.wait(_SLEEP_S):
            now = time.monotonic()
            self.longest_s, before = max(self.longest_s, now - before - _SLEEP_S), now


class Releases:
    """Two of one bundle, of which the second has ``NEW_MB`` that the first has not; and a plan that names one."""

    def __init__(self, place: Path, bundle: Path) -> None:
        self.folder, self._keys = place / "releases", Keys()
        Repository.create(self.folder, self._keys.roles, self._keys.all)
        rng = np.random.default_rng(7)
        for version in VERSIONS:
            source = place / f"source-{version}"
            shutil.copytree(bundle, source)
            (source / "ballast.bin").write_bytes(rng.bytes(NEW_MB << 20))
            manifest = open_bundle(bundle).manifest
            files = {**manifest.files, **describe_files(source, ["ballast.bin"])}
            manifest = manifest.model_copy(update={"version": version, "files": files})
            made = write_bundle(source, manifest, place / version)
            publish(Repository(self.folder), made, self._keys.all)
        self.name, self._plans = manifest.name, 0
        (place / "root.json").write_bytes((self.folder / "metadata" / "1.root.json").read_bytes())

    def plan(self, device: str, version: str) -> None:
        self._plans += 1
        listed = Repository(self.folder).releases()[f"{self.name}/{version}/manifest.json"]
        one = PlannedRelease(name=self.name, version=version, manifest=listed.hashes["sha256"])
        until = datetime.now(timezone.utc) + timedelta(days=1)
        (self.folder / "plans").mkdir(exist_ok=True)
        plan = Plan(device=device, version=self._plans, expires=until, releases=(one,))
        (self.folder / "plans" / f"{device}.json").write_bytes(sign_plan(plan, [self._keys.plans]))

    @contextmanager
    def served(self, port: int) -> Iterator[None]:
        command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "-d", str(self.folder)]
        quiet = subprocess.DEVNULL
        server = subprocess.Popen(command, stdout=quiet, stderr=quiet, preexec_fn=give_way)
        try:
            yield
        finally:
            server.kill()
            server.wait()


def update_in_the_middle(box: Box, bundle: Path, every_s: float) -> list[Row]:
    """Of a box whose agent does not run yet."""
    releases, port = Releases(box.place, bundle), free_port()
    box.settings["fleet"] = {"trust": "root.json", "url": f"http://127.0.0.1:{port}", "every": "2s"}
    station = box.settings["stations"][0]
    station |= {"bundle": f"release:{releases.name}", "swap": {"trial_parts": TRIAL_PARTS}}
    box.write()
    releases.plan("deadline", VERSIONS[0])
    with releases.served(port):
        time.sleep(1)
        subprocess.run(
            [sys.executable, "-m", "edgemill", "agent", "update", str(box.place / "agent.yaml")], check=True, stdout=2
        )
        with box.agent():
            box.parts(WARM, every_s)
            calm = _late_in(box, CALM, every_s)[0]
            releases.plan("deadline", VERSIONS[1])
            start, late, asked, answered = time.monotonic(), 0, 0, 0
            stalls = Stalls()
            while not (told := _ended(box, releases.name)) and time.monotonic() - start < MOST_S:
                found = _late_in(box, PIECE, every_s)
                late, answered, asked = late + found[0], answered + found[1], asked + PIECE
            took, stood_s = time.monotonic() - start, stalls.stop()
            after = _late_in(box, CALM, every_s)[0]
            undeclared = box.late()[1]
    case, done = f"{box.controller.kind}, update", told == State.COMMITTED.value
    print(f"the update: {told or 'not ended'}", file=sys.stderr)
    return [
        stated(case, "from the plan to the commit", "s", took, 1),
        stated(case, "of it new bytes", "MB", NEW_MB, 1),
        at_most(case, "updates not committed", "updates", 0 if done else 1, 0, 1),
        stated(case, "answers late before it", "%", 100 * calm / CALM, CALM),
        stated(case, "answers late after it", "%", 100 * after / CALM, CALM),
        stated(case, "answers late during it", "%", 100 * late / asked, asked),
        stated(case, "longest that this machine stood", "ms", 1000 * stood_s, 1),
        at_most(case, "answers late during it", "answers", late, 0, asked),
        at_most(case, "parts not answered exactly once", "parts", asked - answered, 0, asked),
        at_most(case, "answers after the deadline and not declared", "answers", undeclared, 0, asked),
    ]


def _late_in(box: Box, parts: int, every_s: float) -> tuple[int, int]:
    """How many of so many parts are late, and how many are answered exactly once."""
    before = box.late()[0]
    answered = len(box.parts(parts, every_s))
    return box.late()[0] - before, answered


def _ended(box: Box, name: str) -> str:
    """What the second release came to; empty as long as it has not."""
    update = read_book(box.place / "state").updates[name]
    return update.state.value if update.version == VERSIONS[1] and update.ended else ""
