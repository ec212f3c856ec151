"""Which variant ships: the fastest inside the budget, and for every other one the reason. Pure functions.

Of a target of which nothing runs here it is the smallest, and it comes behind all that were measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgemill_core.budget import Outcome


@dataclass(frozen=True)
class Entrant:
    """What the choice looks at.

    Attributes:
        target: only one variant ships per target.
        cost: the objective, e.g. p50 in milliseconds; the smaller, the better.
        unit: how to print ``cost``.
        is_timed: whether ``cost`` is a time that was measured; else it is a size.
        yardstick: measured to compare with, but not asked for: it never ships.
        why: the judge's reason.
    """

    name: str
    target: str
    cost: float
    outcome: Outcome
    why: str
    unit: str = "ms"
    yardstick: bool = False
    is_timed: bool = True


@dataclass(frozen=True)
class Refusal:
    """A variant that does not ship, and why."""

    variant: str
    why: str


@dataclass(frozen=True)
class Choice:
    """What ships.

    Attributes:
        shipped: one variant per target, best first; those that were not timed come last, in the order of their targets.
        refused: all others, in the order they came.
        without: targets that no variant may ship for.
    """

    shipped: tuple[str, ...]
    refused: tuple[Refusal, ...]
    without: tuple[str, ...]


def choose(entrants: Sequence[Entrant]) -> Choice:
    """Pick the cheapest entrant inside the budget for each target; the first of equals wins."""
    best: dict[str, Entrant] = {}
    for entrant in entrants:
        if entrant.outcome is Outcome.PASS and not entrant.yardstick:
            held = best.get(entrant.target)
            if held is None or entrant.cost < held.cost:
                best[entrant.target] = entrant
    targets = list(dict.fromkeys(entrant.target for entrant in entrants))
    # Weights say nothing of one target beside another, and nothing beside times.
    ranked = sorted(best.values(), key=lambda e: (0, e.cost) if e.is_timed else (1, targets.index(e.target)))
    return Choice(
        shipped=tuple(entrant.name for entrant in ranked),
        refused=tuple(_refuse(e, best.get(e.target)) for e in entrants if e not in ranked),
        without=tuple(target for target in targets if target not in best),
    )


def _refuse(entrant: Entrant, winner: Entrant | None) -> Refusal:
    if entrant.yardstick:
        return Refusal(entrant.name, "measured as yardstick only: the recipe does not ask for it on this target")
    if entrant.outcome is not Outcome.PASS:
        return Refusal(entrant.name, f"{entrant.outcome.value}: {entrant.why}")
    assert winner is not None
    more = entrant.cost / winner.cost - 1 if winner.cost else float("inf")
    worse = "slower" if entrant.is_timed else "larger, where nothing is timed"
    return Refusal(
        entrant.name,
        f"inside the budget, but {worse}: {_figure(entrant)} against {_figure(winner)} of {winner.name} (+{more:.0%})",
    )


def _figure(entrant: Entrant) -> str:
    return f"{entrant.cost:.2f} {entrant.unit}" if entrant.cost >= 0.1 else f"{entrant.cost:.2g} {entrant.unit}"
