"""How far what stands in for a GPU is off another faithful run of the same graph, and what it is off FP32.

efficientnet-lite0 (``torch_models.py`` makes it) on crops of scikit-image's photographs, half of them for calibration.
A stand-in is right if it is a possible run of the graph: two runs that only sum in another order may differ by a step
wherever a value lies between two. That much a box must be allowed to differ, and no proof can ask for less. Takes ten
seconds. With TensorRT-RTX installed it also tells the sizes of plans.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import skimage.data
from form import Row, at_most, main, stated

from edgemill_converters.passes.fold import Fold
from edgemill_converters.precisions import PRECISIONS
from edgemill_converters.precisions.base import Given
from edgemill_converters.quantization.calibration import calibrate
from edgemill_converters.standing_in.running import TOLERANCE
from edgemill_converters.standing_in.spelling_out import SpellOut
from edgemill_converters.standing_in.weight_bytes import weight_bytes
from edgemill_core.tensors import Array
from edgemill_runtimes.machine import this_machine

LITE = Path(__file__).parents[1] / "bench-out" / "torch" / "efficientnet-lite0.onnx"
PHOTOGRAPHS = (
    *("astronaut", "coffee", "chelsea", "rocket", "camera", "coins", "moon", "page"),
    *("text", "brick", "grass", "gravel", "clock", "immunohistochemistry", "retina", "hubble_deep_field"),
)
SIDE, CALIBRATION, JUDGED = 224, 16, 48


def crops(names: tuple[str, ...], count: int, seed: int) -> Iterator[Array]:
    rng = np.random.default_rng(seed)
    for index in range(count):
        whole = np.atleast_3d(getattr(skimage.data, names[index % len(names)])())[..., :3]
        whole = np.repeat(whole, 3, axis=2) if whole.shape[2] == 1 else whole
        side = int(min(whole.shape[:2]) * rng.uniform(0.4, 1))
        y, x = (int(rng.integers(0, size - side + 1)) for size in whole.shape[:2])
        seen = cv2.resize(whole[y : y + side, x : x + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        yield np.ascontiguousarray(((seen.astype(np.float32) - 127) / 128).transpose(2, 0, 1))[None]


def run(graph: onnx.ModelProto, pictures: list[Array], plain: bool = False) -> Array:
    """``plain``: no optimisation, one thread; so sums are taken in another order."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if plain:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
    session = ort.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: picture})[0].reshape(1, -1) for picture in pictures])


def furthest(one: Array, other: Array) -> float:
    return float(np.abs(one - other).max())


def measure() -> list[Row]:
    model = Fold()(onnx.load(LITE))
    plan = calibrate(model, list(crops(PHOTOGRAPHS[::2], CALIBRATION, 0)), 8)
    pictures = list(crops(PHOTOGRAPHS[1::2], JUDGED, 1))
    exact, rows = run(model, pictures), []
    for name, tolerance in TOLERANCE.items():
        written = PRECISIONS[name].render(Given("tensorrt_rtx", model, plan, this_machine())).graph
        spelled = SpellOut()(written)
        found, again = run(spelled, pictures), run(spelled, pictures, plain=True)
        fused = furthest(run(written, pictures), found)
        rows.append(at_most(name, "stand-in, sums in another order", "", furthest(found, again), tolerance, JUDGED))
        rows.append(stated(name, "ONNX Runtime on the graph itself", "", fused, JUDGED))
        rows.append(stated(name, "stand-in off FP32", "", furthest(found, exact), JUDGED))
        rows.append(stated(name, "weights as the graph keeps them", "MB", weight_bytes(written.graph) / 1e6, 1))
        rows += plan_of(name, written)
    return rows


def plan_of(name: str, written: onnx.ModelProto) -> list[Row]:
    if find_spec("tensorrt_rtx") is None:
        return []
    from edgemill_runtimes.nvidia.compiling import Asked, compile_plan

    with tempfile.TemporaryDirectory() as folder:
        onnx.save(written, Path(folder, "g.onnx"))
        asked = Asked("tensorrt_rtx", ("8.6",))
        facts = compile_plan(Path(folder, "g.onnx"), Path(folder, "g.plan"), asked)
    return [stated(name, "plan of TensorRT-RTX for 8.6", "MB", facts.bytes / 1e6, 1)]


if __name__ == "__main__":
    main(measure)
