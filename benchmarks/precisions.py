"""What each precision costs and brings: latency and size against FP32, and how far its answers are from FP32's.

PP-OCRv6 recognition on the demo's labels and efficientnet-lite0 on crops of photographs. Takes about 4 minutes. Which
precisions are faster than FP32 is the processor's matter (``edgemill doctor`` names it); nothing here has a bar.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import skimage.data
from form import Row, main, stated
from torch_models import efficientnet_lite0

from edgemill.demo.labels import generate
from edgemill.demo.lot_code import write_recipe
from edgemill_converters.bake import bake
from edgemill_converters.bundling import save_graph
from edgemill_converters.importers import import_model
from edgemill_converters.judging import prepare_set
from edgemill_converters.measuring import Measurement, Subject, measure
from edgemill_converters.passes.bake_input import BakeInput
from edgemill_converters.passes.base import Sequential
from edgemill_converters.passes.fix_shape import FixShape
from edgemill_converters.passes.fold import Fold
from edgemill_converters.passes.upgrade_opset import UpgradeOpset
from edgemill_converters.precisions import PRECISIONS, Given
from edgemill_converters.quantization.calibration import calibrate
from edgemill_converters.recipe import read_recipe
from edgemill_core.picture_input import Normalise, PictureInput
from edgemill_core.tensors import Array
from edgemill_runtimes.engines import EngineSettings, load
from edgemill_runtimes.frames import prepare
from edgemill_runtimes.machine import this_machine

RUNTIMES = ("onnxruntime", "openvino")
LABELS, CROPS, CALIBRATION, SEED = 200, 200, 24, 33


@dataclass(frozen=True)
class Case:
    """A baked model with inputs, ``uint8[n, height, width, channels]``, and others to calibrate on."""

    name: str
    graph: onnx.ModelProto
    inputs: Array
    calibration: Array


def measured() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [row for case in _cases(folder) for runtime in RUNTIMES for row in _rows(case, runtime, folder)]


def _rows(case: Case, runtime: str, folder: Path) -> Iterator[Row]:
    """All precisions of one model on one runtime, timed in turns."""
    machine = this_machine()
    pictures = [row[None] for row in case.calibration]
    given = Given(runtime, case.graph, calibrate(case.graph, pictures, machine.int8_weight_bits), machine)
    subjects: dict[str, Subject] = {}
    for one in PRECISIONS.values():
        if one.takes == "pictures" and one.can_run_on(runtime) and (one.hint is None or machine.bf16):
            files = [
                folder / file
                for file in save_graph(one.render(given).graph, folder, f"{case.name}-{one.name}-{runtime}")
            ]
            size = sum(file.stat().st_size for file in files)
            subjects[one.name] = Subject(runtime, "CPU", files[0], size, one.hint)
    np.save(folder / "inputs.npy", case.inputs[:16], allow_pickle=False)
    timed = measure(subjects, folder / "inputs.npy")
    outputs = {name: _outputs(subject, case.inputs) for name, subject in subjects.items()}
    for name in subjects:
        if name != "fp32":
            yield from _against(f"{case.name}, {runtime}, {name}", name, timed, outputs)


def _against(title: str, name: str, timed: dict[str, Measurement], outputs: dict[str, Array]) -> Iterator[Row]:
    own, base = timed[name], timed["fp32"]
    yield stated(title, "p50", "ms", own.p50_ms, len(own.latencies_ms), round(base.p50_ms, 5))
    yield stated(title, "size over FP32's", "×", own.size_bytes / base.size_bytes, 1)
    best, right = outputs[name].argmax(-1), outputs["fp32"].argmax(-1)
    same = float((best == right).reshape(len(best), -1).all(axis=1).mean())
    yield stated(title, "answers as FP32's", "share", same, len(best))
    apart = np.abs(outputs[name] - outputs["fp32"])
    yield stated(title, "outputs apart, at most", "", float(apart.max()), len(best))
    computed = sum(count for told, count in own.layers.items() if told == name.partition("-")[0])
    yield stated(title, "layers that compute so", "layers", float(computed), 1, float(sum(own.layers.values())))


def _outputs(subject: Subject, inputs: Array) -> Array:
    told = EngineSettings(subject.device, precision_hint=subject.precision_hint)
    with load(subject.runtime, subject.graph, told) as engine:
        name = engine.inputs[0].name
        return np.concatenate([next(iter(engine.run({name: row[None]}).values())) for row in inputs])


def _cases(folder: Path) -> Iterator[Case]:
    recipe = read_recipe(write_recipe(folder))
    graph = bake(import_model(recipe), recipe.input, recipe.make_task()).graph
    sets = (("labels", LABELS, SEED), ("tuning", CALIBRATION, SEED + 1))
    labels, tuning = (prepare_set(generate(folder / n, count, seed, prefix=n), recipe.input) for n, count, seed in sets)
    yield Case("rec", graph, labels, tuning)
    declared = PictureInput(size=(224, 224), normalise=Normalise(mean=(127,), std=(128,)))
    model = FixShape(declared)(onnx.load(efficientnet_lite0()))
    graph = Sequential([UpgradeOpset(), BakeInput(declared), Fold()])(model)
    crops = _crops(declared, CROPS + CALIBRATION)
    yield Case("lite0", graph, crops[:CROPS], crops[CROPS:])


def _crops(declared: PictureInput, count: int) -> Array:
    """Random squares of photographs."""
    rng = np.random.default_rng(SEED)
    names = ("chelsea", "coffee", "astronaut", "rocket")
    photos = [np.ascontiguousarray(getattr(skimage.data, name)()[..., ::-1]) for name in names]
    found = []
    for _ in range(count):
        photo = photos[int(rng.integers(len(photos)))]
        side = int(rng.integers(224, min(photo.shape[:2]) + 1))
        top, left = (int(rng.integers(size - side + 1)) for size in photo.shape[:2])
        found.append(prepare(np.ascontiguousarray(photo[top : top + side, left : left + side]), declared))
    return np.concatenate(found)


if __name__ == "__main__":
    main(measured)
