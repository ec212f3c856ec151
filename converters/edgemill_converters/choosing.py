"""Which variant ships: the fastest inside the budget, and for every other one the reason. Pure functions."""

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


@dataclass(frozen=True)
class Refusal:
    """A variant that does not ship, and why."""

    variant: str
    why: str


@dataclass(frozen=True)
class Choice:
    """What ships.

    Attributes:
        shipped: one variant per target, best first.
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
    ranked = sorted(best.values(), key=lambda entrant: entrant.cost)
    targets = dict.fromkeys(entrant.target for entrant in entrants)
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
    return Refusal(
        entrant.name,
        f"inside the budget, but slower: {entrant.cost:.2f} {entrant.unit} against {winner.cost:.2f} {winner.unit} "
        f"of {winner.name} (+{more:.0%})",
    )
