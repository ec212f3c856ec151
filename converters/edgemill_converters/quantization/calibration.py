"""Look at every tensor that a quantized layer reads or writes, one picture at a time, and make a plan of it."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
import onnx

from edgemill_converters.quantization.bias import bias_shifts
from edgemill_converters.quantization.dialects.base import QUANTIZABLE
from edgemill_converters.quantization.dialects.weights import has_weights
from edgemill_converters.quantization.final import final_range, final_tensors, stand_ins
from edgemill_converters.quantization.methods import method_of
from edgemill_converters.quantization.plan import CORRECTED, Plan
from edgemill_converters.quantization.settings import Quantization
from edgemill_converters.quantization.statistics import RunningStatistics, Statistics
from edgemill_converters.quantization.watching import PHASE, WatchedGraph, watched
from edgemill_core.errors import DataError, InputError, ModelError
from edgemill_core.tensors import Array
from edgemill_runtimes.engines import Engine, EngineSettings, load

_EVERY = 20
"""Pictures between two words of progress."""


@dataclass(frozen=True)
class Calibration:
    """What one pass over the pictures showed; plans by any method are made from it.

    Attributes:
        tensors: statistics of each watched tensor, in the order of the graph.
        samples: how many pictures there were.
    """

    tensors: Mapping[str, Statistics]
    samples: int


def quantizable_layers(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Convolutions and matrix products with constant weights.

    A Gemm whose third operand is computed (a residual that ONNX Runtime has fused into it, e.g.) is none: no runtime
    fuses it in INT8.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    return [
        node
        for node in graph.node
        if has_weights(node, constants)
        and not (node.op_type == "Gemm" and any(name and name not in constants for name in node.input[2:]))
    ]


def calibrate(
    model: onnx.ModelProto,
    pictures: Iterable[Array],
    weight_bits: int,
    settings: Quantization = Quantization(),  # noqa: B008 (frozen)
    *,
    names: Sequence[str] = (),
    progress: Callable[[str], None] = lambda _: None,
    in_8_bits_too: bool = False,
) -> Plan:
    """``collect``, then ``plan_from``; see there for further arguments and errors.

    Args:
        in_8_bits_too: find what ``Plan.in_8_bits`` needs of it.
    """
    seen = collect(model, pictures, names=names, progress=progress)
    plan = plan_from(model, seen, weight_bits, settings)
    if not in_8_bits_too or weight_bits == 8:
        return plan
    return replace(plan, shifts_in_8_bits=plan_from(model, seen, 8, settings).bias_shifts)


def collect(
    model: onnx.ModelProto,
    pictures: Iterable[Array],
    *,
    names: Sequence[str] = (),
    progress: Callable[[str], None] = lambda _: None,
    threads: int | None = None,
) -> Calibration:
    """Run the pictures through the FP32 graph, once, and keep statistics of every tensor concerned.

    Memory does not grow with the number of pictures.

    Args:
        model: the baked FP32 graph.
        pictures: prepared inputs, ``uint8[1, height, width, channels]``.
        names: what to call the pictures in errors, e.g. their files; their numbers if not given.
        progress: told how far it is.
        threads: inside one run; the runtime's own number if not given.

    Raises:
        ModelError: the graph has no layer to quantize.
        DataError: no pictures, one that does not fit the model, or one that makes a tensor take a value that is not
            a number.
    """
    graph = watched(model, _channels(model.graph))
    makers = {output: node for node in model.graph.node for output in node.output}
    running = {tensor: RunningStatistics() for tensor in graph.tensors}
    chance = np.random.default_rng(0)
    samples = 0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "watched.onnx")
        onnx.save(graph.model, file)
        with load("onnxruntime", file, EngineSettings(threads=threads)) as engine:
            for picture, name in zip(pictures, _names(names), strict=bool(names)):
                if samples % _EVERY == 0:
                    progress(f"calibrating, {samples:,}" + (f" of {len(names):,}" if names else ""))
                samples += 1
                phase = chance.integers(0, 2**31, 1)
                for tensor, seen in graph.seen(_run(engine, graph, picture, phase, name)):
                    if not seen.finite:
                        raise _not_finite(name, tensor, makers.get(tensor))
                    running[tensor].add(float(seen.low.min()), float(seen.high.max()), seen.means, seen.values)
    if samples == 0:
        raise _nothing()
    return Calibration({tensor: found.found for tensor, found in running.items()}, samples)


def plan_from(
    model: onnx.ModelProto,
    calibration: Calibration,
    weight_bits: int,
    settings: Quantization = Quantization(),  # noqa: B008 (frozen)
) -> Plan:
    """The plan that ``settings`` make of what calibration saw.

    Tensors behind which no layer comes hold all that was seen, whatever the method; see ``final``.

    Args:
        model: the graph that was calibrated.
        weight_bits: see ``Plan``.
    """
    method, layers = method_of(settings), quantizable_layers(model.graph)
    cut = stand_ins(model.graph)
    final = {cut.get(name, name): domain for name, domain in final_tensors(model.graph).items()}
    ranges = {
        name: final_range(seen, final[name]) if name in final else method.range_of(seen)
        for name, seen in calibration.tensors.items()
    }
    ranges |= {name: ranges[left] for name, left in cut.items() if left in ranges}
    shifts = bias_shifts(model.graph, layers, calibration.tensors, weight_bits) if settings.bias_correction else {}
    label = f"{method.label}{CORRECTED}" if settings.bias_correction else method.label
    return Plan(ranges, tuple(node.name for node in layers), weight_bits, label, calibration.samples, shifts)


def _channels(graph: onnx.GraphProto) -> dict[str, int]:
    """What to watch: what layers read and write, in the order of the graph, with the axes of channels.

    Where a cut stands behind a layer, what it leaves is watched in the output's stead.
    """
    layers = quantizable_layers(graph)
    if not layers:
        kinds = Counter(node.op_type for node in graph.node)
        raise ModelError(
            "the model has no layer that can be quantized",
            expected=f"{', '.join(QUANTIZABLE)} with constant weights",
            got=", ".join(f"{number} {kind}" for kind, number in kinds.most_common(12)) or "no layer at all",
            fix="write precisions: [fp32] under targets: in the recipe",
        )
    weights, cut = {tensor.name for tensor in graph.initializer}, stand_ins(graph)
    found: dict[str, int] = {}
    for node in layers:
        axis, output = 1 if node.op_type == "Conv" else -1, node.output[0]
        for name in (node.input[0], cut.get(output, output)):
            if name not in weights:
                found.setdefault(name, axis)
    place = {name: index for index, node in enumerate(graph.node) for name in node.output}
    return dict(sorted(found.items(), key=lambda item: place.get(item[0], -1)))


def _names(names: Sequence[str]) -> Iterable[str]:
    return names or (f"picture {number}" for number in count(1))


def _run(engine: Engine, graph: WatchedGraph, picture: Array, phase: Array, name: str) -> dict[str, Array]:
    feeds = {engine.inputs[0].name: picture, **({PHASE: phase} if graph.phased else {})}
    try:
        return engine.run(feeds)
    except InputError as error:
        raise DataError(
            f"calibration: {name} does not fit the model: {error.what}",
            expected=error.expected,
            got=error.got,
            fix="mend input: in the recipe, or take the picture out of the calibration set",
        ) from error


def _nothing() -> DataError:
    return DataError(
        "there is nothing to calibrate on",
        expected="at least one picture",
        got="an empty calibration set",
        fix="mend data: calibration: in the recipe",
    )


def _not_finite(name: str, tensor: str, maker: onnx.NodeProto | None) -> DataError:
    layer = f"given by layer {maker.name!r} ({maker.op_type})" if maker is not None else "the model's input"
    return DataError(
        f"calibration met values that are not numbers, on {name}",
        expected="finite activations",
        got=f"a NaN or an infinity, first in tensor {tensor!r}, {layer}",
        fix="take the picture out of the calibration set if it is broken; else mend normalise: under input: in the "
        "recipe, or export the model again: its FP32 graph gives no numbers here",
    )
