"""How closely an imported graph computes what the model's own framework does, as far as it was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgemill_core.verdict import Decision, Verdict

SAMPLES = 200
TOLERANCE = 1e-3
"""Of the largest value that the framework gave in an output; float32 sums in another order stay far below."""
_LEAST = 1e-6


@dataclass(frozen=True)
class OutputParity:
    """One output.

    Attributes:
        difference: the largest between framework and graph, of any element of any sample.
        largest: the largest value by amount that the framework gave.
        sample: where the largest difference was, from 0.
    """

    name: str
    difference: float
    largest: float
    sample: int = 0

    @property
    def allowed(self) -> float:
        """The largest difference that is one of rounding."""
        return max(_LEAST, TOLERANCE * self.largest)

    @property
    def holds(self) -> bool:
        """Whether the graph computes the same; NaN where there should be none is no number that does."""
        return self.difference <= self.allowed


@dataclass(frozen=True)
class Parity:
    """Framework and graph on the same samples.

    Attributes:
        samples: how many.
        flips: verdicts that differ; ``None`` where verdicts are figures.
    """

    samples: int
    outputs: tuple[OutputParity, ...]
    flips: int | None

    @property
    def difference(self) -> float:
        """The largest of all outputs."""
        return max(one.difference for one in self.outputs)


@dataclass(frozen=True)
class ImportFacts:
    """How the model came in.

    Attributes:
        framework, exporter, pickled: see ``Imported``.
        opset, ir_version: of the graph that came in.
        parity: where the graph is a translation.
    """

    framework: str
    exporter: str
    pickled: bool
    opset: int
    ir_version: int
    parity: Parity | None = None


def parity_indices(samples: int) -> list[int]:
    """Which samples are compared: evenly spread, at most ``SAMPLES``."""
    count = min(SAMPLES, samples)
    return [index * samples // count for index in range(count)]


def flipped(before: Sequence[Verdict], after: Sequence[Verdict]) -> int | None:
    """How many verdicts differ; ``None`` where they are figures."""
    if all(verdict.decision is Decision.SCORE for verdict in before):
        return None
    return sum(a.decision is not b.decision for a, b in zip(before, after, strict=True))
