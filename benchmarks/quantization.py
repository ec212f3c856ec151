"""What decisions 0002 and 0003 rest on: good labels that INT8 loses, by weight bits and by how ranges are found.

Takes about 3 minutes. The figures belong to this machine's arithmetic (``edgemill doctor`` names it).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from form import Row, main, stated

from edgemill.demo.labels import generate
from edgemill.demo.lot_code import write_recipe
from edgemill_converters.bake import BakedModel, bake
from edgemill_converters.importers import import_model
from edgemill_converters.judging import prepare_set
from edgemill_converters.passes.base import copy_of
from edgemill_converters.quantization.calibration import calibrate
from edgemill_converters.quantization.dialects import DIALECTS, WriteQdq
from edgemill_converters.quantization.plan import Plan, Range
from edgemill_converters.recipe import Recipe, read_recipe
from edgemill_core.samples import Sample
from edgemill_core.tensors import Array
from edgemill_core.verdict import Decision
from edgemill_runtimes.engines import load

SEED, PICTURES, CALIBRATION = 21, 400, 24
Ends = Callable[[Array], tuple[float, float]]


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        recipe = read_recipe(write_recipe(out))
        samples = generate(out / "labels", PICTURES, SEED, bad_share=0.5, prefix="label")
        tuning = prepare_set(generate(out / "tuning", CALIBRATION, SEED + 1, prefix="tuning"), recipe.input)
        baked = bake(import_model(recipe), recipe.input, recipe.make_task())
        plan = calibrate(baked.graph, [picture[None] for picture in tuning], 7)
        found = _extremes(baked, plan, tuning)
        plans = {
            "averaged extremes, 7 bits": plan,
            "averaged extremes, 8 bits": replace(plan, weight_bits=8),
            "outermost extremes, 7 bits": _with(plan, found, lambda ends: (min(ends[:, 0]), max(ends[:, 1]))),
            "99.99th percentile, 7 bits": _with(plan, found, lambda ends: (ends[:, 2].mean(), ends[:, 3].mean())),
            "99.9th percentile, 7 bits": _with(plan, found, lambda ends: (ends[:, 4].mean(), ends[:, 5].mean())),
        }
        prepared = prepare_set(samples, recipe.input)
        passed = _passes(recipe, baked.graph, prepared, samples)
        rows = [stated("fp32", "good labels passed", "labels", float(sum(passed)), len(passed))]
        for name, one in plans.items():
            graph = WriteQdq(one, DIALECTS["onnxruntime"])(baked.graph)
            kept = _passes(recipe, graph, prepared, samples)
            lost = sum(before and not after for before, after in zip(passed, kept, strict=True))
            rows.append(stated(name, "good labels lost", "labels", float(lost), len(passed)))
    return rows


def _extremes(baked: BakedModel, plan: Plan, pictures: Array) -> dict[str, Array]:
    """Per tensor and picture: least, most, and both ends of two percentiles, ``float[pictures, 6]``."""
    watched = copy_of(baked.graph)
    given = {value.name for value in [*watched.graph.input, *watched.graph.output]}
    watched.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in plan.ranges
        if name not in given
    )
    found: dict[str, list[list[float]]] = {name: [] for name in plan.ranges}
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(watched, Path(folder, "watched.onnx"))
        with load("onnxruntime", Path(folder, "watched.onnx")) as engine:
            for picture in pictures:
                values = engine.run({engine.inputs[0].name: picture[None]})
                for name, rows in found.items():
                    ends = np.percentile(values[name], [0, 100, 0.01, 99.99, 0.1, 99.9])
                    rows.append([float(end) for end in ends])
    return {name: np.array(rows) for name, rows in found.items()}


def _with(plan: Plan, found: dict[str, Array], ends: Ends) -> Plan:
    ranges = {name: ends(rows) for name, rows in found.items()}
    return replace(plan, ranges={name: Range(min(low, 0.0), max(high, 0.0)) for name, (low, high) in ranges.items()})


def _passes(recipe: Recipe, graph: onnx.ModelProto, prepared: Array, samples: Sequence[Sample]) -> list[bool]:
    """For each good label, whether the graph passes it."""
    task = recipe.make_task()
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(graph, Path(folder, "graph.onnx"))
        with load("onnxruntime", Path(folder, "graph.onnx")) as engine:
            name = engine.inputs[0].name
            return [
                task.verdict(engine.run({name: prepared[index : index + 1]}), sample.context).decision is Decision.PASS
                for index, sample in enumerate(samples)
                if sample.truth is not None and sample.truth.good
            ]


if __name__ == "__main__":
    main(measure)
