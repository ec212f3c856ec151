"""What a graph needs of a box: the oldest runtime that reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

from edgemill_core.bundle import Requirements
from edgemill_core.bundle.requirements import release
from edgemill_runtimes.requirements import installed_runtime


@dataclass(frozen=True)
class Floor:
    """The oldest release of a runtime that we support, and the newest graph that it reads.

    Attributes:
        opset: of ONNX's own operators.
        ir_version: of the file.
    """

    version: str
    opset: int
    ir_version: int


FLOORS = {
    "onnxruntime": Floor("1.20", 21, 10),
    "openvino": Floor("2025.0", 22, 10),
    "tensorrt_rtx": Floor("1.7", 22, 10),
}
"""The lower bounds of our extras. ONNX Runtime 1.20.1 refuses opset 22 and IR version 11 (tried); OpenVINO 2025.0 is
built with ONNX 1.17; TensorRT-RTX 1.7: operators.md of onnx-tensorrt 10.12."""


def requirements_of(runtime: str, graph: Path, weights: Path) -> Requirements:
    """What the graph in ``graph`` needs to run on ``runtime``.

    A graph that is newer than the oldest release reads needs the version that it was built with, which did read it.
    """
    model = onnx.load(graph, load_external_data=False)
    opset = max((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=0)
    package = installed_runtime(runtime)
    built_with = package[1] if package else None
    size = graph.stat().st_size + weights.stat().st_size
    return Requirements(
        least=least_version(runtime, opset, model.ir_version, built_with),
        built_with=built_with,
        opset=opset,
        ir_version=model.ir_version,
        disk_bytes=size,
    )


def least_version(runtime: str, opset: int, ir_version: int, built_with: str | None) -> str | None:
    """The oldest version of ``runtime`` that is known to read such a graph; ``None`` where none is known."""
    floor = FLOORS.get(runtime)
    if floor is not None and opset <= floor.opset and ir_version <= floor.ir_version:
        return floor.version
    return ".".join(map(str, release(built_with or ""))) or None
