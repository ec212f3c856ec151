"""How far TensorRT says that it has come: phases within phases, each of so many steps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class Phases:
    """Keeps count of what the builder reports.

    A phase may come again, report fewer steps than it announced, or more; the share only ever grows.
    """

    def __init__(self) -> None:
        self._open: dict[str, _Phase] = {}
        self._share = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase begins, within another or the first of all."""
        self._open[name] = _Phase(parent, max(steps, 1))

    def step(self, name: str, index: int) -> None:
        """Step ``index`` of a phase, counted from 0, is done."""
        if name in self._open:
            self._open[name].done = index + 1

    def finish(self, name: str) -> None:
        """A phase has ended; the step of the one around it is still to be reported."""
        self._open.pop(name, None)

    @property
    def innermost(self) -> str:
        """What is being done now; empty before the first phase and after the last."""
        return next(reversed(self._open), "")

    def share(self) -> float:
        """Of all work, 0 to 1; phases take unlike times, so that it is no measure of time."""
        first = next((name for name, phase in self._open.items() if phase.parent is None), None)
        if first is not None:
            self._share = max(self._share, min(self._of(first, frozenset()), 1.0))
        return self._share

    def _of(self, name: str, above: frozenset[str]) -> float:
        phase, above = self._open[name], above | {name}
        inner = [self._of(one, above) for one, it in self._open.items() if it.parent == name and one not in above]
        return min((phase.done + max(inner, default=0.0)) / phase.steps, 1.0)


def left_s(seconds: float, share: float | None) -> float | None:
    """How long it may still take if it goes on as it did; ``None`` while too little was done to say."""
    if share is None or share < 0.02 or seconds < 1:
        return None
    return seconds * (1 - share) / share
