"""Which points nothing beats, in any number of objectives, and which of them go on. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence


def beats(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether ``one`` is as small as ``other`` everywhere, and smaller somewhere."""
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def front(points: Sequence[Sequence[float]]) -> list[int]:
    """Places of the points that no other one beats, in their order; of equal points all stay."""
    return [place for place, point in enumerate(points) if not any(beats(other, point) for other in points)]


def spread(costs: Sequence[float], most: int) -> list[int]:
    """Places of at most ``most`` points: the cheapest, and others at even steps of rank up to the dearest.

    Args:
        costs: of each point.
    """
    ranked = sorted(range(len(costs)), key=lambda place: (costs[place], place))
    if len(ranked) <= most:
        return ranked
    if most == 1:
        return ranked[:1]
    return [ranked[round(step * (len(ranked) - 1) / (most - 1))] for step in range(most)]
