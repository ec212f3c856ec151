"""How far a build is, and how long it will still take. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Ahead:
    """A step that is not done.

    Attributes:
        needs: names of steps that must be done before; those that are done already may be named.
        seconds: that it will take, or still take if it is ``going``; ``None`` if nobody knows.
        alone: nothing else runs beside it.
        threaded: it uses every processor by itself, so no other such step runs beside it.
    """

    name: str
    needs: tuple[str, ...]
    seconds: float | None
    alone: bool = False
    going: bool = False
    threaded: bool = False


def remaining(ahead: Sequence[Ahead], workers: int) -> float | None:
    """Seconds until all are done, side by side where they may be; ``None`` if any of them is unknown.

    The build's own way of starting steps, played through: in their order as soon as what they need is there, at most
    ``workers`` at once, those that want to be alone when nothing else can be done.
    """
    if any(step.seconds is None for step in ahead):
        return None
    going = {step.name: step.seconds or 0.0 for step in ahead if step.going}
    waiting = [step for step in ahead if not step.going]
    now = 0.0
    while going or waiting:
        started = to_start(waiting, going, workers, {step.name: step for step in ahead})
        going.update({step.name: now + (step.seconds or 0.0) for step in started})
        waiting = [step for step in waiting if step not in started]
        if not going:
            raise ValueError(f"these wait for one another: {', '.join(step.name for step in waiting)}")
        now = min(going.values())
        going = {name: end for name, end in going.items() if end > now}
    return now


def to_start(waiting: Sequence[Ahead], going: Iterable[str], workers: int, undone: Mapping[str, Ahead]) -> list[Ahead]:
    """Which of ``waiting`` may start now, while ``going`` run.

    Args:
        undone: every step that is not done, by name.
    """
    running = list(going)
    blocked = {step.name for step in waiting} | set(running)
    if any(undone[name].alone for name in running if name in undone):
        return []
    ready = [step for step in waiting if not blocked & set(step.needs)]
    beside: list[Ahead] = []
    threaded = any(undone[name].threaded for name in running if name in undone)
    for step in ready:
        if not step.alone and not (step.threaded and threaded) and len(running) + len(beside) < workers:
            beside.append(step)
            threaded = threaded or step.threaded
    return beside if beside or running else ready[:1]


class History:
    """Seconds of earlier runs, per step and unit of its size."""

    def __init__(self, journal: Iterable[Mapping[str, object]]) -> None:
        self._exact: dict[tuple[str, str], float] = {}
        self._alike: dict[str, float] = {}
        for line in journal:
            if line.get("did") == "made":
                self.add(
                    str(line.get("recipe")), str(line.get("step")), _number(line, "seconds"), _number(line, "size")
                )

    def add(self, recipe: str, step: str, seconds: float, size: float) -> None:
        """Remember that ``step`` took so long."""
        self._exact[recipe, step] = self._alike[step] = seconds / max(size, 1.0)

    def expected(self, recipe: str, step: str, size: float) -> float | None:
        """Of the same recipe if it was built before, else of any; ``None`` if there was none."""
        rate = self._exact.get((recipe, step), self._alike.get(step))
        return None if rate is None else rate * max(size, 1.0)


def _number(line: Mapping[str, object], name: str) -> float:
    value = line.get(name)
    return float(value) if isinstance(value, (int, float)) else 0.0


def in_words(seconds: float | None) -> str:
    """How long it still takes, as one says it; empty if nobody knows."""
    if seconds is None:
        return ""
    if seconds < 10:
        return "a few seconds left"
    if seconds < 95:
        return f"about {round(seconds / 5) * 5} s left"
    return f"about {round(seconds / 60)} min left"
