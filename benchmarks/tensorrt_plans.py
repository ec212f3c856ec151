"""Real plans of TensorRT-RTX, each made as `edgemill agent compile` makes it: FP16, and INT8 in the TensorRT dialect.

efficientnet-lite0, PP-OCRv6 rec and the PCB detector, for SM86, SM89 and SM120 alone and for all three at once, each
twice. What was made is read back from the plan itself. A plan is built here and cannot run here. About 90 seconds.
"""

from __future__ import annotations

import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
from compressible import Model, missing, models
from form import Row, at_least, main, stated
from onnx import numpy_helper

from edgemill_converters.precisions.fp16 import ToFloat16
from edgemill_converters.quantization.calibration import calibrate
from edgemill_converters.quantization.dialects import DIALECTS, WriteQdq
from edgemill_runtimes.nvidia.bindings import bindings
from edgemill_runtimes.nvidia.compiling import Asked, compile_plan
from edgemill_runtimes.nvidia.header import HEADER_BYTES, read_header

MODELS = ("lite0", "PP-OCRv6 rec", "pcb detector")
TARGETS = ("8.6", "8.9", "12.0")


def run() -> list[Row]:
    rows = [stated(f"pcb {name}", "not under bench-out/pcb, left out", "models", 0, 0) for name in missing()]
    for model in models():
        if model.name in MODELS:
            rows += _rows(model)
    return rows


def build_seconds_and_bytes(graph: Path, compute_capabilities: tuple[str, ...]) -> tuple[float, int] | None:
    """In a process of its own; ``None`` where TensorRT-RTX is not installed. A graph that it refuses is an error."""
    if find_spec("tensorrt_rtx") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        return _built(graph, Path(folder, "engine.plan"), compute_capabilities)


def _built(graph: Path, plan: Path, compute_capabilities: tuple[str, ...]) -> tuple[float, int]:
    start = time.perf_counter()
    facts = compile_plan(graph, plan, Asked("tensorrt_rtx", compute_capabilities))
    return time.perf_counter() - start, facts.bytes


def _rows(model: Model) -> list[Row]:
    pictures = (picture[None] for picture in model.calibration)
    ranges = calibrate(model.graph, pictures, 8, model.quantization)  # whatever this machine's processor needs
    graphs = {"FP16": ToFloat16()(model.graph), "INT8": WriteQdq(ranges, DIALECTS["tensorrt"])(model.graph)}
    rows = []
    for precision, graph in graphs.items():
        print(f"{model.name}, {precision} …", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "graph.onnx")
            onnx.save(graph, file)
            rows += _plans(f"{model.name}, {precision}", file)
            if precision == "INT8":
                content, layers = file.with_name("first.plan").read_bytes(), int8_weights(graph)
                found = sum(any(form in content for form in forms) for forms in layers)
                rows.append(
                    stated(f"{model.name}, INT8", "weights that lie in the plan as INT8", "", found, 1, len(layers))
                )
    return rows


def int8_weights(graph: onnx.ModelProto) -> list[tuple[bytes, ...]]:
    """Of each layer in the TensorRT dialect, its weights in INT8: as they are, and with the channels last."""
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    found = []
    for node in graph.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] in known:
            weights, scale = known[node.input[0]], known[node.input[1]]
            axis = next((one.i for one in node.attribute if one.name == "axis"), 1)
            wide = scale.reshape([-1 if place == axis else 1 for place in range(weights.ndim)]) if scale.ndim else scale
            steps = np.clip(np.rint(weights / wide), -128, 127).astype(np.int8)
            found.append((steps.tobytes(), np.moveaxis(steps, 1, -1).tobytes()))
    return found


def _plans(case: str, graph: Path) -> list[Row]:
    wanted = {f"SM{one.replace('.', '')}": (one,) for one in TARGETS} | {"all three": TARGETS}
    size, same, told = graph.stat().st_size / 1e6, 0, 0
    rows = []
    for name, capabilities in wanted.items():
        first, again = graph.with_name("first.plan"), graph.with_name("again.plan")
        seconds, count = zip(*(_built(graph, plan, capabilities) for plan in (first, again)), strict=True)
        header = read_header(first.read_bytes()[:HEADER_BYTES])
        same += first.read_bytes() == again.read_bytes()
        said = (header.version, header.compute_capabilities, header.bytes)
        told += said == (bindings("tensorrt_rtx").__version__, capabilities, count[0])
        rows.append(stated(f"{case}, {name}", "build", "s", min(seconds), 2))
        rows.append(stated(f"{case}, {name}", "plan (reference: graph)", "MB", count[0] / 1e6, 1, round(size, 3)))
    rows.append(at_least(case, "rebuilt to the same bytes", "plans", same, len(wanted), len(wanted)))
    rows.append(at_least(case, "say target, version and size", "plans", told, len(wanted), len(wanted)))
    return rows


if __name__ == "__main__":
    main(run)
