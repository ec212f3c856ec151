"""Find the range of every tensor that a quantized layer reads or writes, one picture at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from edgemill_converters.passes.base import copy_of
from edgemill_converters.quantization.dialects.base import QUANTIZABLE
from edgemill_converters.quantization.dialects.places import further_tensors
from edgemill_converters.quantization.plan import Plan, Range
from edgemill_core.errors import DataError
from edgemill_core.tensors import Array
from edgemill_runtimes.engines import load

METHOD = "averaged min-max"


def quantizable_layers(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Convolutions and matrix products with constant weights."""
    weights = {tensor.name for tensor in graph.initializer}
    return [node for node in graph.node if node.op_type in QUANTIZABLE and node.input[1] in weights]


def calibrate(model: onnx.ModelProto, pictures: Iterable[Array], weight_bits: int) -> Plan:
    """Run the pictures through the FP32 graph and average the extremes of every tensor concerned.

    A tensor's range is the mean, over the pictures, of each picture's smallest and largest value: one odd picture
    does not stretch it, and no value that each picture shows is clipped (the observer of Jacob et al. 2018,
    "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", section 3.1,
    with equal weights). Memory does not grow with the number of pictures.

    Args:
        model: the baked FP32 graph.
        pictures: prepared inputs, ``uint8[1, height, width, channels]``.
        weight_bits: see ``Plan``.

    Raises:
        DataError: no pictures, or a tensor that takes a value that is not a number.
    """
    layers = quantizable_layers(model.graph)
    weights = {tensor.name for tensor in model.graph.initializer}
    read_or_written = [name for node in layers for name in (*node.input[:1], *node.output)]
    further = further_tensors(model.graph, layers)
    tensors = dict.fromkeys(name for name in (*read_or_written, *further) if name and name not in weights)
    given = {value.name for value in model.graph.input}
    low = dict.fromkeys(tensors, 0.0)
    high = dict.fromkeys(tensors, 0.0)
    seen = 0
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder, "watched.onnx")
        onnx.save(_with_outputs(model, [name for name in tensors if name not in given]), graph)
        with load("onnxruntime", graph) as engine:
            for picture in pictures:
                values = engine.run({engine.inputs[0].name: picture})
                seen += 1
                for name in tensors:
                    low[name] += float(values[name].min())
                    high[name] += float(values[name].max())
    _check(seen, low, high)
    # Zero is always inside, because padding and the zero point need it.
    ranges = {name: Range(min(low[name] / seen, 0.0), max(high[name] / seen, 0.0)) for name in tensors}
    return Plan(ranges, tuple(node.name for node in layers), weight_bits, METHOD, seen)


def _with_outputs(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    watched = copy_of(model)
    present = {value.name for value in watched.graph.output}
    watched.graph.output.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names if name not in present
    )
    return watched


def _check(seen: int, low: dict[str, float], high: dict[str, float]) -> None:
    if seen == 0:
        raise DataError(
            "there is nothing to calibrate on",
            expected="at least one picture",
            got="an empty calibration set",
            fix="mend data: calibration: in the recipe",
        )
    broken = [name for name in low if not (np.isfinite(low[name]) and np.isfinite(high[name]))]
    if broken:
        raise DataError(
            "calibration met values that are not numbers",
            expected="finite activations",
            got=f"first in tensor {broken[0]!r} ({len(broken)} tensors)",
            fix="run the FP32 model on the calibration pictures; one of them breaks it",
        )
