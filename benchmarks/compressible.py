"""The models that quantization is measured on, with pictures to calibrate on and others to compare decisions on.

There is no labelled ImageNet here, and no labelled text: what FP32 decides is the label, and what is counted is how
often INT8 decides otherwise. Crops of scikit-image's photographs are harder to tell apart than ImageNet's pictures.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import skimage
from torch_models import efficientnet_lite0

from edgemill.demo.labels import generate
from edgemill.demo.lot_code import write_recipe
from edgemill_converters.bake import bake
from edgemill_converters.importers import import_model
from edgemill_converters.judging import prepare_set
from edgemill_converters.passes.bake_input import BakeInput
from edgemill_converters.passes.base import Sequential
from edgemill_converters.passes.fix_shape import FixShape
from edgemill_converters.passes.fold import Fold
from edgemill_converters.passes.upgrade_opset import UpgradeOpset
from edgemill_converters.quantization.settings import Quantization
from edgemill_converters.readers import read_set
from edgemill_converters.recipe import read_recipe
from edgemill_core.picture_input import Colour, Normalise, PictureInput
from edgemill_core.tensors import Array
from edgemill_runtimes.frames import prepare

CALIBRATION, COMPARED = 48, 200
PCB = Path(__file__).parents[1] / "bench-out" / "pcb"
Decide = Callable[[Array], Hashable]


@dataclass(frozen=True)
class Model:
    """One model to quantize.

    Attributes:
        graph: baked, FP32.
        calibration: ``uint8[pictures, height, width, 3]``.
        compared: likewise, others.
        decide: what is made of one output; two outputs agree if it is equal.
        decision: the same in words.
        quantization: how ranges are found.
    """

    name: str
    graph: onnx.ModelProto
    calibration: Array
    compared: Array
    decide: Decide
    decision: str
    quantization: Quantization = Quantization(method="averaged")  # noqa: RUF009 (frozen)


def models() -> Iterator[Model]:
    """All that can be had here; see ``missing``."""
    yield _classifier()
    yield _recognition()
    yield _detection()
    for name, (decide, decision) in BOARDS.items():
        if _board_recipe(name).is_file():
            yield _board_model(name, decide, decision)


def missing() -> list[str]:
    """The PCB models that are not under ``bench-out/pcb``: ``python examples/pcb/run.py FOLDER bench-out/pcb``."""
    return [name for name in BOARDS if not _board_recipe(name).is_file()]


def _board_recipe(name: str) -> Path:
    return PCB / f"pcb-{name}.yaml"


def _board_model(name: str, decide: Decide, decision: str) -> Model:
    """As its recipe has it: calibrated on boards that were learned from, compared on boards that were held out."""
    recipe = read_recipe(_board_recipe(name))
    graph = bake(import_model(recipe), recipe.input, recipe.make_task()).graph
    assert recipe.data.calibration is not None
    learned, judged = (read_set(recipe, "", source) for source in (recipe.data.calibration, recipe.data.judge))
    chosen = judged[:: max(1, len(judged) // COMPARED)][:COMPARED]
    sets = [prepare_set(samples, recipe.input) for samples in (learned[:CALIBRATION], chosen)]
    settings = recipe.quantization.for_task(recipe.make_task().name)
    return Model(f"pcb {name}", graph, sets[0], sets[1], decide, decision, settings)


def _classifier() -> Model:
    declared = PictureInput(size=(224, 224), normalise=Normalise(mean=(127,), std=(128,)))
    photos = [getattr(skimage.data, name)() for name in ("chelsea", "coffee", "astronaut", "rocket")]
    pictures = _crops(photos, declared, (0.4, 0.9))
    return Model("lite0", _baked(efficientnet_lite0(), declared), *_split(pictures), _top, "top class")


def _recognition() -> Model:
    with tempfile.TemporaryDirectory() as name:
        recipe = read_recipe(write_recipe(Path(name)))
        graph = bake(import_model(recipe), recipe.input, recipe.make_task()).graph
        labels = generate(Path(name) / "labels", CALIBRATION + COMPARED, 21, bad_share=0.5, prefix="label")
        pictures = prepare_set(labels, recipe.input)
    return Model("PP-OCRv6 rec", graph, *_split(pictures), _text, "text read")


def _detection() -> Model:
    found = find_spec("rapidocr")
    assert found is not None
    assert found.origin is not None
    file = Path(found.origin).parent / "models" / "PP-OCRv6_det_small.onnx"
    normalise = Normalise(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
    declared = PictureInput(size=(320, 320), colour=Colour.BGR, normalise=normalise)
    pages = [np.stack([getattr(skimage.data, name)()] * 3, axis=-1) for name in ("page", "text")]
    pictures = _crops(pages, declared, (0.6, 1.0))
    return Model("PP-OCRv6 det", _baked(file, declared), *_split(pictures), _lines, "share of text, to a twentieth")


def _baked(file: Path, declared: PictureInput) -> onnx.ModelProto:
    shaped = FixShape(declared)(onnx.load(file))
    return Sequential([UpgradeOpset(), BakeInput(declared), Fold()])(shaped)


def _crops(photos: list[Array], declared: PictureInput, share: tuple[float, float]) -> Array:
    rng, found = np.random.default_rng(0), []
    for index in range(CALIBRATION + COMPARED):
        photo = photos[index % len(photos)][..., ::-1]
        side = int(rng.uniform(*share) * min(photo.shape[:2]))
        top, left = (int(rng.integers(0, size - side + 1)) for size in photo.shape[:2])
        found.append(prepare(np.ascontiguousarray(photo[top : top + side, left : left + side]), declared)[0])
    return np.stack(found)


def _split(pictures: Array) -> tuple[Array, Array]:
    return pictures[:CALIBRATION], pictures[CALIBRATION:]


def _top(output: Array) -> Hashable:
    return int(output.argmax())


def _text(output: Array) -> Hashable:
    steps = output.reshape(-1, output.shape[-1]).argmax(axis=1)
    return tuple(int(b) for a, b in zip([-1, *steps], steps, strict=False) if b not in (a, 0))


def _lines(output: Array) -> Hashable:
    return round(20 * float((output > 0.3).mean()))


def _kinds(output: Array) -> Hashable:
    rows = output.reshape(-1, output.shape[-1])[:, 4:]
    return tuple(sorted(set(rows.argmax(axis=1)[rows.max(axis=1) > 0.5].tolist())))


BOARDS: dict[str, tuple[Decide, str]] = {
    "detector": (_kinds, "kinds of defect found"),
    "classifier": (_top, "top class"),
}
