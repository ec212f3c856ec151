"""What keeps a variant from shipping whatever its metrics: no gain over FP32, or layers that did not become INT8."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Annotated, Literal

from pydantic import Field

from edgemill_core.validation import Strict

MARGIN = 0.02
"""A variant must be faster than FP32 by this share of FP32's time: less than that is within the noise of a machine."""
_NAMED = 5


class Gates(Strict):
    """How strict the gates are.

    Attributes:
        unfused: so many layers that were to be INT8 may compute in float.
        slower: what becomes of a variant of lower precision that is not faster than FP32 on the same target; ``allow``
            for those who want it for its size or memory.
    """

    unfused: Annotated[int, Field(ge=0)] = 0
    slower: Literal["refuse", "allow"] = "refuse"


def not_faster(turns: Sequence[float], yardstick: Sequence[float]) -> str | None:
    """Why a variant is no gain over FP32, or ``None`` if it is one.

    Both were measured in the same turns, one after the other. The median over turns of the ratio of their medians
    counts: a disturbance that lasts hits both, a short one one turn alone.

    Args:
        turns: the variant's median of each turn, in milliseconds.
        yardstick: FP32's.
    """
    ratio = median(one / other for one, other in zip(turns, yardstick, strict=True))
    if ratio <= 1 - MARGIN:
        return None
    return (
        f"not faster than FP32 on the same target: {median(turns):.3g} ms against {median(yardstick):.3g} ms "
        f"(medians of {len(turns)} turns, {ratio - 1:+.1%}; at least {MARGIN:.0%} faster is asked for)"
    )


def unfused(layers: Sequence[str], at_most: int) -> str | None:
    """Why layers that compute in float are too many, or ``None``.

    Args:
        layers: that were to be INT8 and are not, by name.
        at_most: so many may be.
    """
    if len(layers) <= at_most:
        return None
    more = f" and {len(layers) - _NAMED} more" if len(layers) > _NAMED else ""
    named = ", ".join(layers[:_NAMED]) + more
    return f"INT8 layers that compute in float: {len(layers)}, {at_most} allowed ({named})"


def gates_against(
    gates: Gates, layers: Sequence[str], turns: Sequence[float], yardstick: Sequence[float] | None
) -> tuple[str, ...]:
    """Every reason against a variant of lower precision, before its metrics are looked at.

    Args:
        gates: the recipe's.
        layers: that were to be INT8 and compute in float.
        turns: the variant's median of each turn, in milliseconds.
        yardstick: FP32's on the same target; ``None`` where there is none to measure.
    """
    slower = not_faster(turns, yardstick) if yardstick is not None and gates.slower == "refuse" else None
    return tuple(why for why in (slower, unfused(layers, gates.unfused)) if why)
