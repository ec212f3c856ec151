"""What became of a plan: the quantized layers that a runtime computes in float all the same."""

from __future__ import annotations

from edgemill_converters.quantization.plan import Plan
from edgemill_runtimes.engines.facts import EngineFacts


def unfused_of(facts: EngineFacts, plan: Plan) -> tuple[str, ...]:
    """Layers of ``plan`` that the compiled graph does not compute in INT8, by the names that the plan has for them.

    A runtime may have renamed a layer beyond recognition; it is then told by the runtime's name.

    Args:
        facts: of an engine whose graph was written from ``plan``.
    """
    own = sorted(plan.layers, key=len, reverse=True)
    return tuple(dict.fromkeys(next((name for name in own if name in told), told) for told in facts.unfused))
