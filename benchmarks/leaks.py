"""Whether engines grow: many runs at one shape, and over 200 random shapes, each case in a process of its own.

Growth is the resident memory at the end over that after the warm-up, each the median of 50 looks over a hundredth of
the case's runs. The warm-up is a fortieth of the runs at one shape, a fifth over many shapes: each was seen 50 times.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
from form import Row, at_most, main
from onnx import TensorProto, helper, numpy_helper

from edgemill_core.processes.own_memory import resident_bytes
from edgemill_core.tensors import Array
from edgemill_runtimes.engines import Engine, EngineSettings, load
from edgemill_runtimes.isolation import IsolatedEngine

FIXED, VARIED, SHAPES = 200_000, 50_000, 200
RUNTIMES = ("onnxruntime", "openvino")
WAYS = ("run", "stream", "isolated")
Run = Callable[[Engine, Iterator[Array]], Iterator[None]]


def measure() -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        graph = _graph(Path(name))
        for runtime in RUNTIMES:
            for way in WAYS:
                for shapes, runs in ((1, FIXED), (SHAPES, VARIED)):
                    rows += _case(graph, runtime, way, shapes, runs)
    return rows


def _case(graph: Path, runtime: str, way: str, shapes: int, runs: int) -> list[Row]:
    case = f"{runtime}, {way}, {'one shape' if shapes == 1 else f'{shapes} shapes'}"
    print(f"{case} …", file=sys.stderr, flush=True)
    told = json.dumps({"graph": str(graph), "runtime": runtime, "way": way, "shapes": shapes, "runs": runs})
    done = subprocess.run([sys.executable, __file__, "--case", told], check=True, stdout=subprocess.PIPE, text=True)
    grown: dict[str, float] = json.loads(done.stdout)
    return [at_most(case, f"growth of the {process}", "MB", mb, 10, runs) for process, mb in grown.items()]


def _watch(graph: str, runtime: str, way: str, shapes: int, runs: int) -> dict[str, float]:
    """Growth of this process and, where there is one, of the engine's, MB of 10^6 bytes."""
    warm, span = runs // (40 if shapes == 1 else 5), runs // 100
    settings = EngineSettings(threads=2)
    with load(runtime, Path(graph), settings, isolated=way == "isolated") as engine:
        looks = {"caller" if isinstance(engine, IsolatedEngine) else "process": resident_bytes}
        if isinstance(engine, IsolatedEngine):
            pid = engine.pid
            looks["engine's process"] = lambda: resident_bytes(pid)
        found: dict[str, tuple[list[int], list[int]]] = {name: ([], []) for name in looks}
        for index, _ in enumerate(_runs(engine, way, _pictures(shapes, runs))):
            late = index >= runs - span
            if (late or warm <= index < warm + span) and index % max(1, span // 50) == 0:
                for name, look in looks.items():
                    found[name][late].append(look())
    return {name: (statistics.median(b) - statistics.median(a)) / 1e6 for name, (a, b) in found.items()}


def _runs(engine: Engine, way: str, pictures: Iterator[Array]) -> Iterator[object]:
    name = engine.inputs[0].name
    if way == "stream":
        return engine.stream({name: picture} for picture in pictures)
    return (engine.run({name: picture}) for picture in pictures)


def _pictures(shapes: int, runs: int) -> Iterator[Array]:
    rng = np.random.default_rng(0)
    sizes = rng.choice(80 * 80, shapes, replace=False)
    made = [rng.random((1, 3, 8 + int(size) // 80, 8 + int(size) % 80), np.float32) for size in sizes]
    order = rng.integers(shapes, size=runs)
    return (made[index] for index in order)


def _graph(folder: Path) -> Path:
    """Two convolutions over a picture of any size, and its mean."""
    rng = np.random.default_rng(1)
    known = [
        numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)
        for name, shape in (("a", (8, 3, 3, 3)), ("b", (8, 8, 3, 3)))
    ]
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["h"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Conv", ["r", "b"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["c"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8, 1, 1])
    graph = helper.make_graph(nodes, "g", [x], [y], known)
    path = folder / "graph.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


if __name__ == "__main__":
    if "--case" in sys.argv:
        print(json.dumps(_watch(**json.loads(sys.argv[-1]))))
    else:
        main(measure)
