"""Which opset and IR version a graph may be of, so that the oldest supported release on a box can read it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgemill_converters.targets import Target


@dataclass(frozen=True)
class Readable:
    """The newest that can be read.

    Attributes:
        opset: of ONNX's own operators.
        ml: opset of ``ai.onnx.ml``.
        ir: version of the file's form.
        release: the oldest that we support, which reads these; empty where we know of none.
    """

    opset: int
    ml: int
    ir: int
    release: str = ""


READABLE = {
    "onnxruntime": Readable(21, 5, 10, "1.20"),
    "openvino": Readable(22, 5, 10, "2025.0"),
    "tensorrt": Readable(20, 0, 10, "10.3"),
    "tensorrt_rtx": Readable(22, 0, 10, "1.7"),
}
"""By runtime, of the oldest release that the extras, or JetPack 6, allow.

ONNX Runtime 1.20.1 refuses opset 22 and IR version 11 (tried). OpenVINO 2025.0 refuses none and reads what it does not
know as the newest it does; it is built with ONNX 1.17, whose versions these are. TensorRT 10.3: operators.md of
onnx-tensorrt, "opset 9 to opset 20"; TensorRT-RTX 1.7: the same of 10.12, "to 22"; built with ONNX 1.16 or newer.
"""
OTHERS = Readable(17, 3, 8)
"""Of runtimes that others have added, and of which we know nothing."""


def readable_by(targets: Iterable[Target]) -> Readable:
    """The newest that all these targets' runtimes read."""
    found = [READABLE.get(target.runtime, OTHERS) for target in targets]
    return Readable(min(one.opset for one in found), min(one.ml for one in found), min(one.ir for one in found))
