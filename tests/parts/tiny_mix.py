"""A tiny classifier in which one layer cannot bear INT8, and pictures for it. As a script, it searches for that layer.

Pictures have one colour, with noise; the class is the colour. Layer ``bad`` has one huge weight on a channel that is
always zero: in float it changes nothing, in INT8 it takes the whole scale and rounds all other weights to zero.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

from edgemill_converters.bake import BakedModel, bake
from edgemill_converters.importers import ImportedModel
from edgemill_converters.judging import verdicts_of
from edgemill_converters.quantization.calibration import calibrate
from edgemill_converters.quantization.fallback import find_fallback
from edgemill_converters.quantization.fallback_found import FallbackFound
from edgemill_converters.quantization.plan import Plan
from edgemill_converters.quantization.settings import Fallback
from edgemill_converters.quantization.trials import SearchSet
from edgemill_converters.recipe import Target
from edgemill_core.budget import Budget
from edgemill_core.picture_input import Normalise, PictureInput
from edgemill_core.samples import Sample, Truth
from edgemill_core.tasks import ImageClassification
from edgemill_runtimes.engines import load
from edgemill_runtimes.frames import encode_png

SIDE, CHANNELS, BAD = 8, 8, "bad"
CLASSES = ("red", "green", "blue")
TASK = ImageClassification(classes=CLASSES, fit=("red",))
INPUT = PictureInput(size=(SIDE, SIDE), normalise=Normalise(mean=(0,), std=(255,)))
BUDGET = Budget(metric="class_rate", max_drop=0.05)


def tiny_mix(outlier: float = 1000) -> onnx.ModelProto:
    """Colours in, four convolutions and one product, logits out: ``x: float[1, 3, 8, 8]`` to ``[1, 3]``."""
    first = np.zeros((CHANNELS, 3), np.float32)
    first[:3] = np.eye(3)
    first[CHANNELS - 1] = -1  # never above zero
    same = np.eye(CHANNELS, dtype=np.float32)
    bad = same.copy()
    bad[:3, CHANNELS - 1] = outlier
    weights = [first, same, bad, same]
    nodes, known, data = [], [], "x"
    for index, weight in enumerate(weights):
        name = BAD if weight is bad else f"conv{index}"
        nodes.append(helper.make_node("Conv", [data, f"w{index}"], [f"y{index}"], name))
        nodes.append(helper.make_node("Relu", [f"y{index}"], [f"z{index}"], f"relu{index}"))
        known.append(numpy_helper.from_array(weight[:, :, None, None].copy(), f"w{index}"))
        data = f"z{index}"
    nodes += [
        helper.make_node("GlobalAveragePool", [data], ["mean"], "pool"),
        helper.make_node("Flatten", ["mean"], ["row"], "row"),
        helper.make_node("MatMul", ["row", "last"], ["logits"], "product"),
    ]
    known.append(numpy_helper.from_array(20 * same[:, :3].copy(), "last"))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIDE, SIDE])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])]
    graph = helper.make_graph(nodes, "mix", inputs, outputs, known)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def pictures(count: int, seed: int) -> tuple[np.ndarray, list[str]]:
    """``uint8[count, 8, 8, 3]``, blue-green-red, and the class of each."""
    rng = np.random.default_rng(seed)
    named = [CLASSES[index % 3] for index in range(count)]
    images = rng.integers(40, 90, (count, SIDE, SIDE, 3))
    for image, name in zip(images, named, strict=True):
        image[..., 2 - CLASSES.index(name)] += 60
    return images.astype(np.uint8), named


def baked(outlier: float = 1000) -> tuple[BakedModel, Plan]:
    """The model ready for targets, and the plan of plain INT8."""
    model = bake(ImportedModel(Path("mix.onnx"), "", tiny_mix(outlier), None), INPUT, TASK)
    return model, calibrate(model.graph, (row[None] for row in pictures(12, 1)[0]), 8)


def search_set(model: BakedModel, folder: Path, count: int = 90, labels: list[str] | None = None) -> SearchSet:
    """Pictures with what they show, or with other ``labels``, and the reference's verdicts on them."""
    images, named = pictures(count, 2)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model.graph, folder / "reference.onnx")
    with load("onnxruntime", folder / "reference.onnx") as engine:
        found = np.concatenate([engine.run({engine.inputs[0].name: row[None]})[TASK.output] for row in images])
    samples = [Sample(str(i), folder, truth=Truth(True, class_name=name)) for i, name in enumerate(labels or named)]
    return SearchSet(samples, images, verdicts_of(found, TASK, samples))


def searched(
    folder: Path,
    runtime: str = "onnxruntime",
    memory: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
    **changes: Any,
) -> FallbackFound:
    """A whole search; ``changes`` are arguments of ``baked``, ``search_set`` and ``Fallback``, and ``budget``."""
    model, plan = baked(changes.pop("outlier", 1000))
    search = search_set(model, folder, changes.pop("count", 90), changes.pop("labels", None))
    budget = changes.pop("budget", BUDGET)
    target = Target(runtime=runtime)
    return find_fallback(model, plan, target, search, TASK, [budget], Fallback(**changes), memory, progress)


def write_workshop(place: Path, **changes: Any) -> Path:
    """Model, pictures and a recipe with a search set in ``place``; returns the recipe's path."""
    onnx.save(tiny_mix(), place / "mix.onnx")
    for seed, (name, count) in enumerate({"calibration": 12, "search": 90, "judge": 99}.items(), 1):
        (place / name).mkdir()
        with (place / name / "labels.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["file", "good", "class"])
            for index, (image, label) in enumerate(zip(*pictures(count, seed), strict=True)):
                (place / name / f"{index}.png").write_bytes(encode_png(image))
                table.writerow([f"{index}.png", int(label == "red"), label])
    recipe = {
        "name": "mix",
        "version": "1.0.0",
        "task": {"name": "image-classification", "classes": list(CLASSES), "fit": ["red"]},
        "model": "mix.onnx",
        "input": {"size": [SIDE, SIDE], "normalise": {"mean": [0], "std": [255]}},
        "data": {name: {"labels": name} for name in ("calibration", "search", "judge")},
        "budget": [{"metric": "class_rate", "max_drop": 0.05}],
        "targets": [{"runtime": "onnxruntime", "precisions": ["int8"]}],
        "quantization": {"fallback": True},
        "gates": {"slower": "allow"},  # so small a model gains nothing in INT8
        **changes,
    }
    path = place / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


if __name__ == "__main__":
    searched(Path(sys.argv[1]), "onnxruntime", Path(sys.argv[2]), lambda said: print(said, flush=True))  # noqa: T201
