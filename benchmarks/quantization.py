"""What decisions 0002, 0003 and 0019 rest on: good labels that INT8 loses, by weight bits, method and bias correction.

Takes about 6 minutes. The figures belong to this machine's arithmetic (``edgemill doctor`` names it).
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import onnx
from form import Row, main, stated

from edgemill.demo.labels import generate
from edgemill.demo.lot_code import write_recipe
from edgemill_converters.bake import bake
from edgemill_converters.importers import import_model
from edgemill_converters.judging import prepare_set
from edgemill_converters.quantization.calibration import collect, plan_from
from edgemill_converters.quantization.dialects import DIALECTS, WriteQdq
from edgemill_converters.quantization.methods import METHODS
from edgemill_converters.quantization.settings import Quantization
from edgemill_converters.recipe import Recipe, read_recipe
from edgemill_core.samples import Sample
from edgemill_core.tensors import Array
from edgemill_core.verdict import Decision
from edgemill_runtimes.engines import load

SEED, PICTURES, CALIBRATION = 21, 400, 24
CASES = [
    *((method, 7, False) for method in METHODS),
    ("averaged", 8, False),
    *((method, bits, True) for method in ("averaged", "min_max", "mse") for bits in (7, 8)),
]
"""Method, weight bits, and whether biases are shifted."""


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        recipe = read_recipe(write_recipe(out))
        samples = generate(out / "labels", PICTURES, SEED, bad_share=0.5, prefix="label")
        tuning = prepare_set(generate(out / "tuning", CALIBRATION, SEED + 1, prefix="tuning"), recipe.input)
        baked = bake(import_model(recipe), recipe.input, recipe.make_task())
        seen = collect(baked.graph, [picture[None] for picture in tuning])
        plans = {
            f"{name}{', biases shifted' if shifted else ''}, {bits} bits": plan_from(
                baked.graph, seen, bits, Quantization.model_validate({"method": name, "bias_correction": shifted})
            )
            for name, bits, shifted in CASES
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
