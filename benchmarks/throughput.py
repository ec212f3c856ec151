"""Frames in memory to verdicts in the ledger, beside the engine's own stream: efficientnet-lite0 INT8, in turns.

The station is a whole agent: source worker, shared memory, engine worker in ``mode: throughput``, line process and
ledger. Its pictures are as large as the model's input and decoded once. The engine's stream runs alone, in a process of
its own, on inputs that are ready.
"""

from __future__ import annotations

import csv
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import skimage.data
import yaml
from form import Row, at_least, main, stated
from parts import recorded
from torch_models import efficientnet_lite0

from edgemill_converters.build import build
from edgemill_core.bundle import Bundle
from edgemill_runtimes.frames import encode_png

RUNTIMES = ("onnxruntime", "openvino")
TURNS, SECONDS, WARM_S = 3, 10.0, 2.0
SIZE = 224
CATS = range(281, 286)
STREAM = """
import sys, time
import numpy as np
from pathlib import Path
from edgemill_core.bundle import open_bundle
from edgemill_runtimes.pipeline import open_pipeline
pipeline, seconds = open_pipeline(open_bundle(Path(sys.argv[1])), sys.argv[2], mode="throughput"), float(sys.argv[3])
pictures = [np.random.default_rng(n).integers(0, 255, (1, 224, 224, 3), dtype=np.uint8) for n in range(8)]
pipeline.warm_up()
def feeds(end):
    turn = 0
    while time.perf_counter() < end:
        yield {pipeline.engine.inputs[0].name: pictures[turn % 8]}
        turn += 1
for _ in pipeline.engine.stream(feeds(time.perf_counter() + 2)):
    pass
start = time.perf_counter()
count = sum(1 for _ in pipeline.engine.stream(feeds(start + seconds)))
print(count / (time.perf_counter() - start))
"""


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        bundle = _bundle(place)
        return [row for runtime in RUNTIMES for row in _rows(bundle, runtime, place)]


def _rows(bundle: Bundle, runtime: str, place: Path) -> list[Row]:
    (variant,) = (one for one in bundle.model.variants if one.runtime == runtime)
    calls = {"station": lambda: _station(bundle, runtime, place), "stream": lambda: _stream(bundle, runtime)}
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(TURNS):
        for name in calls if turn % 2 else reversed(calls):
            found[name].append(calls[name]())
            print(f"{runtime} {name}: {found[name][-1]:.1f}/s", file=sys.stderr, flush=True)
    ours, alone = (statistics.median(found[name]) for name in ("station", "stream"))
    case = f"lite0 {variant.precision}, {runtime}"
    return [
        stated(case, "engine's own stream", "1/s", alone, TURNS),
        at_least(case, "verdicts in the ledger, as a ratio to the stream", "×", ours / alone, 0.90, TURNS),
    ]


def _stream(bundle: Bundle, runtime: str) -> float:
    command = [sys.executable, "-c", STREAM, str(bundle.folder), runtime, str(SECONDS)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _station(bundle: Bundle, runtime: str, place: Path) -> float:
    """Verdicts a second that are durable, between two looks at the ledger."""
    state = place / "state"
    shutil.rmtree(state, ignore_errors=True)
    station = {
        "name": "cell",
        "bundle": str(bundle.folder),
        "runtime": runtime,
        "mode": "throughput",
        "source": {"folder": "pictures", "loop": True, "slots": 8, "max_frame_bytes": SIZE * SIZE * 3 + 1024},
    }
    (place / "agent.yaml").write_text(yaml.safe_dump({"device": {"id": "bench"}, "stations": [station]}))
    command = [sys.executable, "-m", "edgemill", "agent", "run", str(place / "agent.yaml"), "--json"]
    agent = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while recorded(state) == 0:
            time.sleep(0.1)
        time.sleep(WARM_S)
        start, before = time.perf_counter(), recorded(state)
        time.sleep(SECONDS)
        return (recorded(state) - before) / (time.perf_counter() - start)
    finally:
        agent.terminate()
        agent.wait()


def _bundle(place: Path) -> Bundle:
    """Cats pass; built and judged as any other, on few pictures: what it decides is not the question here."""
    photos = [skimage.data.chelsea(), skimage.data.coffee(), skimage.data.astronaut(), skimage.data.rocket()]
    (place / "pictures").mkdir()
    rng = np.random.default_rng(0)
    rows: dict[str, list[tuple[str, int]]] = {"calibration": [], "judge": []}
    for index in range(64):
        photo = photos[index % 4]
        top, left = (int(rng.integers(0, size - SIZE)) for size in photo.shape[:2])
        file = place / "pictures" / f"{index:03d}.png"
        file.write_bytes(encode_png(np.ascontiguousarray(photo[top : top + SIZE, left : left + SIZE, ::-1])))
        rows["judge" if index >= 16 else "calibration"].append((str(file), int(index % 4 == 0)))
    for name, listed in rows.items():
        with (place / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("file", "good"), *listed])
    classes = [f"c{number}" for number in range(1000)]
    recipe = {
        "name": "lite0",
        "version": "1.0.0",
        "task": {"name": "image-classification", "classes": classes, "fit": [classes[cat] for cat in CATS]},
        "model": str(efficientnet_lite0()),
        "input": {"size": [SIZE, SIZE], "normalise": {"mean": [127], "std": [128]}},
        "data": {name: {"labels": f"{name}.csv"} for name in rows},
        "budget": [{"metric": metric, "max_drop": 0.6} for metric in ("escape_rate", "overkill_rate")],
        "targets": [{"runtime": runtime, "precisions": ["int8"]} for runtime in RUNTIMES],
    }
    (place / "recipe.yaml").write_text(json.dumps(recipe))
    built = build(place / "recipe.yaml", place / "bundle").bundle
    assert built is not None
    return built


if __name__ == "__main__":
    main(measure)
