"""Static INT8: activations and weights, from calibrated ranges."""

from __future__ import annotations

from collections.abc import Collection

from edgemill_converters.precisions.base import Given, Precision, Rendered
from edgemill_converters.quantization.dialects import DIALECTS, WriteQdq
from edgemill_runtimes.nvidia.plan_facts import NVIDIA_RUNTIMES


class Int8(Precision):
    """The plan, written as Q/DQ in the dialect that the runtime fuses best."""

    name = "int8"
    tolerance = 0.25
    """Another version of a runtime rounds otherwise (0.035 was seen between ONNX Runtime 1.23 and 1.32), so here the
    decisions are the sharper half of the proof."""
    calibrated = True
    integer = True
    on_nvidia = True

    def runtimes(self) -> Collection[str]:
        """Those with a dialect."""
        return tuple(DIALECTS)

    def render(self, given: Given) -> Rendered:
        """Write the plan."""
        if given.plan is None:
            raise TypeError("static INT8 without a plan")
        # 7 bits are for processors such as the build machine's.
        plan = given.plan.in_8_bits if given.runtime in NVIDIA_RUNTIMES else given.plan
        dialect = DIALECTS[given.runtime]
        steps = f"calibrate ({plan.method}, {plan.samples}) → write-qdq ({dialect.name})"
        return Rendered(WriteQdq(plan, dialect)(given.graph), steps)
