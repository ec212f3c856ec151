"""BF16: the graph stays FP32, and the engine is told to compute in BF16.

ONNX knows the type, but no CPU runtime computes in it because a graph says so: OpenVINO does if it is told, ONNX
Runtime has no such kernels. So this precision lives in the variant's engine settings, where every engine that loads it
finds it, and a box that lacks the instructions refuses it.
"""

from __future__ import annotations

from collections.abc import Collection

from edgemill_converters.precisions.base import Given, Precision, Rendered


class Bf16(Precision):
    """OpenVINO's ``INFERENCE_PRECISION_HINT``."""

    name = "bf16"
    tolerance = 0.1
    hint = "bf16"

    def runtimes(self) -> Collection[str]:
        """OpenVINO alone."""
        return ("openvino",)

    def render(self, given: Given) -> Rendered:
        """The baked graph as it is."""
        return Rendered(given.graph, "the engine is told bf16")
