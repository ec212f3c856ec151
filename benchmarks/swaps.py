"""A million frames and a thousand hot swaps: does memory grow, and is any part missed?

One agent with a small engine runs a looped folder as fast as it can, while two bundles take turns by ``reload``, each
as soon as the other has judged a few parts. ``--frames N``, ``--swaps N``; ``--minutes M`` ends it sooner, and the rows
say how many there were. Memory is what is a process's own alone: frames in shared memory are counted nowhere.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from form import Row, at_least, at_most, main, stated
from parts import recorded

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "parts"))
from tiny_text import write_set, write_workshop

from edgemill_agent.ledger import LedgerView
from edgemill_converters.build import build
from edgemill_core.bundle import open_bundle, write_bundle
from edgemill_core.ledger import Kind
from edgemill_core.processes.own_memory import own_bytes

PICTURES, WARM_SWAPS, LOOK_S = 60, 10, 0.05
MB = 1 << 20


def measure(frames: int, swaps: int, minutes: float) -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        box = Box(Path(name))
        box.run(frames, swaps, time.monotonic() + 60 * minutes)
        return [*box.counts(frames, swaps), *box.memory(), *box.ledger()]


class Box:
    """An agent and two bundles that take turns."""

    def __init__(self, place: Path) -> None:
        self.place, self.state = place, place / "state"
        write_set(place / "pictures", PICTURES, 5)
        (place / "build").mkdir()
        recipe = write_workshop(place / "build", targets=[{"runtime": "onnxruntime", "precisions": ["fp32"]}])
        built = build(recipe, place / "one").bundle
        assert built is not None
        shutil.copytree(built.folder, place / "copy")
        other = write_bundle(place / "copy", built.manifest.model_copy(update={"version": "2.0.0"}), place / "two")
        self.bundles = [str(built.folder), str(other.folder)]
        assert open_bundle(other.folder).manifest.content_digest != built.manifest.content_digest
        self.samples: dict[str, list[int]] = {"line": [], "cell/source": [], "cell/engine": []}
        self.swapped = self.frames = 0

    def run(self, frames: int, swaps: int, until_s: float) -> None:
        self._write()
        command = [sys.executable, "-m", "edgemill", "agent", "run", str(self.place / "agent.yaml"), "--json"]
        with (self.place / "log").open("wb") as log:
            agent = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            while time.monotonic() < until_s and (self.swapped < swaps or self.frames < frames):
                if self.swapped < swaps:
                    self._swap(agent.pid, until_s)
                else:
                    time.sleep(1)
                self._sample()
                print(f"{self.frames} frames, {self.swapped} swaps", file=sys.stderr, end="\r", flush=True)
        finally:
            agent.send_signal(signal.SIGTERM)
            agent.wait()

    def counts(self, frames: int, swaps: int) -> list[Row]:
        return [
            at_least("agent", "frames", "frames", self.frames, frames, 1),
            at_least("agent", "hot swaps", "swaps", self.swapped, swaps, 1),
        ]

    def memory(self) -> list[Row]:
        """The first quarter of the samples against the last one, after the warm-up."""
        rows = []
        for name, found in self.samples.items():
            settled = found[WARM_SWAPS:]
            part = max(1, len(settled) // 4)
            grown = statistics.median(settled[-part:]) - statistics.median(settled[:part])
            rows += [
                at_most(name, "growth of its own memory", "MB", grown / MB, 2, len(settled)),
                stated(name, "its own memory at the end", "MB", settled[-1] / MB, 1),
            ]
        return rows

    def ledger(self) -> list[Row]:
        """Every picture in its order, each once, each judged by an engine."""
        view, wrong, without, last = LedgerView.open(self.state), 0, 0, -1
        for record in view.of_kind(Kind.VERDICT):
            assert record.payload is not None
            told = record.payload.content()
            place = int(told["item"].rpartition("/")[2].partition(".")[0])
            wrong += place != (last + 1) % PICTURES
            last, without = place, without + ("engine_ms" not in told)
        return [
            at_most("agent", "parts missed, doubled or out of order", "parts", wrong, 0, self.frames),
            at_most("agent", "parts that no engine judged", "parts", without, 0, self.frames),
        ]

    def _write(self) -> None:
        station = {
            "name": "cell",
            "bundle": self.bundles[0],
            "swap": {"trial_parts": 20},
            "source": {"folder": "pictures", "labels": "pictures/labels.csv", "loop": True, "max_frame_bytes": 65536},
        }
        settings = {"device": {"id": "swaps"}, "stations": [station], "retention": {"quota": "8GiB"}}
        (self.place / "agent.yaml").write_text(yaml.safe_dump(settings))

    def _swap(self, agent: int, until_s: float) -> None:
        before = self._told("processes.json").get("cell/engine")
        if before is None or not recorded(self.state):
            time.sleep(LOOK_S)
            return
        self.bundles.reverse()
        self._write()
        os.kill(agent, signal.SIGHUP)
        while time.monotonic() < until_s:
            told = self._told("processes.json")
            if told.get("cell/engine") not in (None, before) and "cell/previous" not in told:
                self.swapped += 1
                return
            time.sleep(LOOK_S)

    def _sample(self) -> None:
        self.frames = recorded(self.state)
        processes = self._told("processes.json")
        if all(processes.get(name) for name in self.samples):
            for name, sizes in self.samples.items():
                sizes.append(own_bytes(processes[name]))

    def _told(self, name: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.state / name).read_text())
        except (OSError, ValueError):
            return {}
        return {key: value for key, value in found.items() if value}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--swaps", type=int, default=1_000)
    parser.add_argument("--minutes", type=float, default=60)
    told, sys.argv[1:] = parser.parse_known_args()
    main(lambda: measure(told.frames, told.swaps, told.minutes))
