"""Static INT8: activations and weights, from calibrated ranges."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from edgemill_converters.precisions.base import Given, Precision, Rendered
from edgemill_converters.quantization.dialects import DIALECTS, WriteQdq
from edgemill_converters.quantization.plan import CORRECTED, Plan
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
        dialect, plan = DIALECTS[given.runtime], _plan_for(given.runtime, given.plan)
        steps = f"calibrate ({plan.method}, {plan.samples}) → write-qdq ({dialect.name})"
        return Rendered(WriteQdq(plan, dialect)(given.graph), steps)


def _plan_for(runtime: str, plan: Plan) -> Plan:
    """In 8 bits for a GPU: 7 are for processors such as the build machine's, and the shifts make up for these."""
    if runtime not in NVIDIA_RUNTIMES or plan.weight_bits == 8:
        return plan
    method = plan.method.removesuffix(CORRECTED)
    return replace(plan, weight_bits=8, bias_shifts={}, method=method)
