"""From trigger to output, against a real Modbus/TCP and a real OPC UA server, with an engine of about 10 ms.

The controller is a process of its own: it counts parts up, and notes when the count of an answered part was written.
First nothing is disturbed; then another bundle takes over every eight seconds; then the engine's process is frozen or
killed every other second; then the line process is killed; at last, on another box, an update comes in the middle
(``updated.py``; ``--update`` for that alone). ``--triggers N`` per controller (10,000 if not said; with swaps and with
faults a quarter of that, at most 2,500), ``--every S`` seconds from one to the next, ``--deadline MS`` (60).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from form import Row, at_most, main, stated
from onnx import helper, numpy_helper
from updated import update_in_the_middle

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "parts"))
from controllers import Controller
from tiny_text import tiny_model, write_set, write_workshop

from edgemill_agent.ledger import LedgerView
from edgemill_converters.build import build
from edgemill_core.errors import LedgerError
from edgemill_core.ledger import Kind
from edgemill_runtimes.engines import load

DEADLINE_MS, HANG_MS, STATION = 60, 500, "cell"
ENGINE_MS, CHANNELS = 10.0, 128
SAFE = 8
MOST_HARMED = 2500
POINTS = ("reject", "code", "number", "ready", "heartbeat")
Answers = list[tuple[float, int]]
"""Of each answered part: milliseconds from its trigger, and the code."""


def measure(kinds: tuple[str, ...], triggers: int, every_s: float, update_alone: bool) -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        bundle = _bundle(place)
        alone = () if update_alone else kinds
        rows = [row for kind in alone for row in _controller(kind, bundle, place / kind, triggers, every_s)]
        return [*rows, *_updated(kinds[0], bundle, place / "updated", every_s)]


def _updated(kind: str, bundle: Path, place: Path, every_s: float) -> list[Row]:
    box = Box(place, bundle, Controller(kind))
    try:
        return update_in_the_middle(box, bundle, every_s)
    finally:
        box.controller.close()


def _controller(kind: str, bundle: Path, place: Path, triggers: int, every_s: float) -> list[Row]:
    harmed = min(triggers // 4, MOST_HARMED)
    box = Box(place, bundle, Controller(kind))
    try:
        with box.agent():
            calm = box.parts(triggers, every_s)
            late_calm = box.late()[0]
            with box.every(8, box.swap):
                swapped = box.parts(harmed, every_s)
            late_swapped = box.late()[0] - late_calm
            with box.every(2, box.hurt):
                disturbed = box.parts(harmed, every_s)
            engine = [body["engine_ms"] for body in box.bodies() if "engine_ms" in body]
        killed, missed = box.kill_line(every_s)
    finally:
        box.controller.close()
    rows = [
        stated(kind, "engine, p50", "ms", float(np.median(engine)), len(engine)),
        at_most(kind, "parts not answered exactly once", "parts", triggers - len(calm), 0, triggers),
    ]
    for percent in (50, 99, 99.9, 99.99):
        figure = f"trigger to output, p{percent:g}"
        rows.append(stated(kind, figure, "ms", float(np.percentile([ms for ms, _ in calm], percent)), len(calm)))
    late, undeclared = box.late()
    swaps = box.swaps()
    return [
        *rows,
        stated(kind, "answers late, undisturbed", "%", 100 * late_calm / triggers, triggers),
        stated(kind, "answers late, with swaps", "%", 100 * late_swapped / harmed, harmed),
        stated(kind, "engines that took over", "swaps", swaps.count("took over"), harmed),
        stated(kind, "engines that fell back or were refused", "swaps", _failed(swaps), harmed),
        at_most(kind, "with swaps: parts not answered exactly once", "parts", harmed - len(swapped), 0, len(swapped)),
        _worst(kind, "with swaps", [ms for ms, code in swapped if code >= SAFE]),
        stated(kind, "answers declared late, faults included", "answers", late, triggers + harmed),
        at_most(kind, "answers after the deadline and not declared", "answers", undeclared, 0, late),
        at_most(
            kind,
            "with faults: parts not answered exactly once",
            "parts",
            harmed - len(disturbed),
            0,
            len(disturbed),
        ),
        _worst(kind, "with faults", [ms for ms, code in disturbed if code >= SAFE]),
        at_most(kind, "line killed: parts neither answered nor declared", "parts", missed, 0, killed),
    ]


def _failed(swaps: list[str]) -> int:
    return swaps.count("refused") + swaps.count("fell back")


class Whole:
    """Counts of 16 bits, one near the other, as counts that go on behind 65,535."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self, count: int) -> int:
        self._last += (count - self._last + 0x8000) % 0x10000 - 0x8000
        return self._last


def _worst(kind: str, when: str, safe: list[float]) -> Row:
    found = float(np.percentile(safe, 99.9)) if safe else 0.0
    return at_most(kind, f"{when}: safe answer, p99.9", "ms", found, DEADLINE_MS + 10, len(safe))


class Box:
    """An agent on one station, and what the controller saw of it."""

    def __init__(self, place: Path, bundle: Path, controller: Controller) -> None:
        self.place, self.controller = place, controller
        place.mkdir()
        write_set(place / "pictures", 60, 5)
        points = controller.points
        self.bundles = [bundle, place / "other"]
        shutil.copytree(bundle, place / "other")
        station = {
            "name": STATION,
            "bundle": str(bundle),
            "source": {"folder": "pictures", "labels": "pictures/labels.csv", "loop": True, "max_frame_bytes": 65536},
            "deadline_ms": DEADLINE_MS,
            "hang_ms": HANG_MS,
            "trigger": {**controller.place, "counter": points["counter"]},
            "outputs": [{**controller.place, **{name: points[name] for name in POINTS}}],
        }
        self.settings: dict[str, Any] = {"device": {"id": "deadline"}, "stations": [station]}
        self.write()
        self.seen: dict[int, float] = {}
        self.rng = random.Random(1)
        self.counted, self.answered = Whole(), Whole()

    def write(self) -> None:
        (self.place / "agent.yaml").write_text(yaml.safe_dump(self.settings))

    @contextmanager
    def agent(self) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", "edgemill", "agent", "run", str(self.place / "agent.yaml"), "--json"]
        with (self.place / "log").open("ab") as log:
            agent = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            while not self.controller.report()["values"]["ready"]:
                time.sleep(0.05)
            yield agent
        finally:
            agent.terminate()
            agent.wait()

    def parts(self, count: int, every_s: float) -> Answers:
        """Let parts come; what was answered, each part once."""
        self.controller.report()
        writes: list[Any] = []
        come: list[Any] = []
        for _ in range(0, count, 500):
            self.controller.ask(parts=min(500, count - len(come)), every_s=every_s)
            report = self.controller.report()
            writes, come = writes + report["writes"], come + report["parts"]
            print(f"{self.controller.kind}: {len(come)} parts of {count}", file=sys.stderr, flush=True)
        time.sleep(1)
        return self._answers(writes + self.controller.report()["writes"], come)

    def _answers(self, writes: list[Any], come: list[Any]) -> Answers:
        code, found = 0, {}
        since = {self.counted(count): ns for ns, count in come}
        for ns, point, value in writes:
            if point == "code":
                code = value
            elif point == "number" and (count := self.answered(value)) in since:
                found.setdefault(count, []).append(((ns - since[count]) / 1e6, code))
        once = {count: told[0] for count, told in found.items() if len(told) == 1}
        self.seen.update({count: ms for count, (ms, _) in once.items()})
        return list(once.values())

    def hurt(self) -> None:
        """Freeze or kill the engine's process."""
        self._signal(f"{STATION}/engine", self.rng.choice([signal.SIGSTOP, signal.SIGKILL]))

    def swap(self) -> None:
        """Let the other bundle take over."""
        self.bundles.reverse()
        self.settings["stations"][0]["bundle"] = str(self.bundles[0])
        self.write()
        self._signal("line", signal.SIGHUP)

    def _signal(self, process: str, number: int) -> None:
        pid = json.loads((self.place / "state" / "processes.json").read_text()).get(process)
        if pid:
            os.kill(pid, number)

    @contextmanager
    def every(self, seconds: float, what: Callable[[], None]) -> Iterator[None]:
        """Do it again and again meanwhile."""
        over = threading.Event()

        def work() -> None:
            while not over.wait(seconds):
                what()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def kill_line(self, every_s: float) -> tuple[int, int]:
        """Kill the line process amid 100 parts; how many came, and how many are neither answered nor declared."""
        self.controller.report()
        before = self.controller.report()["values"]["counter"]
        with self.agent() as agent:
            thread = threading.Timer(50 * every_s, agent.kill)
            thread.start()
            self.controller.ask(parts=100, every_s=every_s)
            thread.join()
            first = self.controller.report()
        with self.agent():
            self.controller.ask(parts=20, every_s=every_s)
            time.sleep(1)
            second = self.controller.report()
        numbers = [value for report in (first, second) for _, point, value in report["writes"] if point == "number"]
        assert len(set(numbers)) == len(numbers), "a part was answered twice"
        told = [record.payload.content() for record in self._records(Kind.MISSED) if record.payload]
        declared = {(one["first"] + more) & 0xFFFF for one in told for more in range(one["parts"])}
        come = {(before + more) & 0xFFFF for more in range(1, 121)}
        return len(come), len(come - set(numbers) - declared)

    def late(self) -> tuple[int, int]:
        """Answers that the ledger calls late, and those that the controller saw late and the ledger does not."""
        whole = Whole()
        late = {count for body in self.bodies() if (count := whole(body["count"])) and body.get("late")}
        return len(late), sum(ms > DEADLINE_MS and count not in late for count, ms in self.seen.items())

    def bodies(self) -> list[dict[str, Any]]:
        return [record.payload.content() for record in self._records(Kind.VERDICT) if record.payload]

    def swaps(self) -> list[str]:
        """What became of each engine that was to take over."""
        return [record.payload.content()["outcome"] for record in self._records(Kind.SWAP) if record.payload]

    def _records(self, kind: Kind) -> list[Any]:
        try:
            view = LedgerView.open(self.place / "state")
        except LedgerError:
            return []
        return [record for record in view.records() if record.header.kind is kind]


def _bundle(place: Path) -> Path:
    """The tests' model with convolutions beside it that take about 10 ms and change nothing."""
    home = place / "build"
    home.mkdir()
    recipe = write_workshop(home, targets=[{"runtime": "onnxruntime", "precisions": ["fp32"]}])
    took = []
    for layers in (2, 6):
        onnx.save(_heavy(layers), home / "tiny.onnx")
        took.append(_milliseconds(home / "tiny.onnx"))
    each = (took[1] - took[0]) / 4
    onnx.save(_heavy(max(2, round(2 + (ENGINE_MS - took[0]) / each))), home / "tiny.onnx")
    built = build(recipe, place / "bundle").bundle
    assert built is not None
    return built.folder


def _heavy(layers: int) -> onnx.ModelProto:
    model, rng = tiny_model(), np.random.default_rng(0)
    graph = model.graph
    shapes = [(CHANNELS, 3, 3, 3), *[(CHANNELS, CHANNELS, 3, 3)] * (layers - 1)]
    flowing = "x"
    for index, shape in enumerate(shapes):
        graph.initializer.append(
            numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32) / 40, f"w{index}")
        )
        graph.node.append(
            helper.make_node("Conv", [flowing, f"w{index}"], [f"h{index}"], f"heavy{index}", pads=[1] * 4)
        )
        flowing = f"h{index}"
    graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "nothing"))
    graph.node.extend(
        [
            helper.make_node("GlobalMaxPool", [flowing], ["peak"], "peak"),
            helper.make_node("ReduceMax", ["peak"], ["top"], "top", axes=[1, 2, 3], keepdims=0),
            helper.make_node("Mul", ["top", "nothing"], ["zero"], "zero"),
            helper.make_node("Add", ["p_alone", "zero"], ["p"], "sum"),
        ]
    )
    for node in graph.node:
        if node.name == "softmax":
            node.output[0] = "p_alone"
    return model


def _milliseconds(graph: Path) -> float:
    with load("onnxruntime", graph) as engine:
        feeds = {"x": np.zeros((1, 3, 8, 32), np.float32)}
        engine.run(feeds)
        found = []
        for _ in range(30):
            start = time.perf_counter()
            engine.run(feeds)
            found.append((time.perf_counter() - start) * 1e3)
    return float(np.median(found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--triggers", type=int, default=10_000)
    parser.add_argument("--every", type=float, default=0.025)
    parser.add_argument("--kind", choices=["modbus", "opcua"])
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--deadline", type=int, default=DEADLINE_MS)
    told, sys.argv[1:] = parser.parse_known_args()
    DEADLINE_MS = told.deadline
    kinds = (told.kind,) if told.kind else ("modbus", "opcua")
    main(lambda: measure(kinds, told.triggers, told.every, told.update))
