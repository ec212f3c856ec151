"""Whether an engine computes here in what its variant says that it does: the same decisions do not show it.

What a variant computes in is the recipe's word for it; layer by layer a runtime may do otherwise on this processor or
device than on that of the build. So this is held to what is never meant:

==================  ==================================================================================
fp32, fp64          a layer computes in less
int8, int8-dynamic  no layer computes in INT8: the runtime took them all back to float, as some do on ARM
bf16                no layer computes in BF16
fp16                no layer computes in FP16 where a GPU could; on a CPU that is how it is done
any                 a layer that computes runs on another device than the variant's
==================  ==================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable

from edgemill_runtimes.engines.facts import EngineFacts, Layer
from edgemill_runtimes.nvidia.plan_facts import NVIDIA_RUNTIMES

_WHOLE = {"fp32", "fp64"}
_MEANT = {"int8": "int8", "int8-dynamic": "int8", "bf16": "bf16", "fp16": "fp16"}


def not_as_declared(precision: str, facts: EngineFacts, layers: Iterable[Layer] = ()) -> str | None:
    """What is not as declared, in words; ``None`` if all is, or the runtime does not tell.

    Args:
        precision: the variant's.
        facts: of its engine.
        layers: those that compute.
    """
    away = {one.name: facts.elsewhere[one.name] for one in layers if one.name in facts.elsewhere}
    # A deep learning accelerator hands to the GPU what whoever compiled the plan said that it may.
    if away and facts.runtime not in NVIDIA_RUNTIMES:
        name, device = next(iter(away.items()))
        return f"{len(away)} layers compute on another device than {facts.device}, {name} on {device}"
    if facts.hidden or not facts.layers:
        return None
    found = set(facts.layers)
    said = ", ".join(f"{count} layers in {name}" for name, count in sorted(facts.layers.items()))
    if precision in ("fp32", "fp64") and found - _WHOLE:
        return f"it is to compute in {precision}, and has {said}"
    meant = _MEANT.get(precision)
    if meant is not None and meant not in found and not (meant == "fp16" and facts.device == "CPU"):
        return f"it is to compute in {precision}, and has {said}"
    return None
