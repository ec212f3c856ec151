"""What a search found: every trial, which of them nothing beats, and which go on to the judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from edgemill_converters.candidates import ExtraVariant
from edgemill_converters.quantization.plan import Plan
from edgemill_converters.searching.settings import ObjectiveName
from edgemill_converters.searching.space import Choice, OrderName
from edgemill_core.budget import Outcome


@dataclass(frozen=True)
class Seen:
    """What one graph showed on the search set and on the target; equal graphs are looked at once.

    Attributes:
        outcome: of the budget's judge on the search set.
        inside: whether the search takes it as inside the budget; see ``mixing.is_inside``.
        metrics: each metric of the budget.
        why: the judge's sentence.
        values: each objective that was asked for, the less the better; see ``Search``.
        p50_ms, p99_ms: of one inference.
        fp32_p50_ms, fp32_p99_ms: FP32's, measured in the same turns.
        size_bytes: of the graph with its weights.
        inferences: how many it took to find out.
    """

    outcome: Outcome
    inside: bool
    metrics: Mapping[str, float]
    why: str
    values: Mapping[ObjectiveName, float]
    p50_ms: float
    p99_ms: float
    fp32_p50_ms: float
    fp32_p99_ms: float
    size_bytes: int
    inferences: int


@dataclass(frozen=True)
class Trial:
    """One try.

    Attributes:
        number: from 0 on, in the order in which they were asked for.
        graph: SHA-256 of what transforming gave; empty where it was refused.
        seen: ``None`` where it could not be transformed or run, and ``refused`` says why.
    """

    number: int
    choice: Choice
    graph: str
    seen: Seen | None
    refused: str = ""


@dataclass(frozen=True)
class Proposal:
    """A trial that goes on to the judge; ``plan`` is what its variant is written from."""

    number: int
    words: str
    plan: Plan


@dataclass(frozen=True)
class SearchFound:
    """What came of the search for one target.

    Attributes:
        target: e.g. ``openvino-cpu``.
        place: of the target in the recipe.
        objectives: that the front is of.
        trials: in their order; the first is plain INT8.
        front: numbers of the trials that no other one beats.
        proposals: those of the front that go on.
        graphs: how many different graphs were run, those for the order of the layers included.
        inferences: how many that took.
        resumed: how many of the trials an earlier, broken-off search had finished.
        seconds: how long it took, without what an earlier one did.
        reasons: in words, what became of the front.
        orders: layers by ``Choice.order``, those first that stay in float first.
    """

    target: str
    place: int
    objectives: tuple[ObjectiveName, ...]
    trials: tuple[Trial, ...]
    front: tuple[int, ...]
    proposals: tuple[Proposal, ...]
    graphs: int
    inferences: int
    resumed: int
    seconds: float
    reasons: tuple[str, ...]
    orders: Mapping[OrderName, tuple[str, ...]] = field(default_factory=dict)

    @property
    def plain(self) -> Trial:
        """What a build gives without a search."""
        return self.trials[0]

    def values(self, trial: Trial) -> tuple[float, ...] | None:
        """The trial's objectives, in the order of ``objectives``."""
        return None if trial.seen is None else tuple(trial.seen.values[name] for name in self.objectives)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form, without the plans."""
        left_out = ("trials", "proposals")
        told = {name: value for name, value in vars(self).items() if name not in left_out}
        proposals = [one.number for one in self.proposals]
        return {**told, "trials": [_told(one) for one in self.trials], "proposals": proposals}


def _told(trial: Trial) -> dict[str, Any]:
    told = asdict(trial)
    if trial.seen is not None:
        told["seen"]["outcome"] = trial.seen.outcome.value
    return told


def searched_variants(found: Sequence[SearchFound]) -> Iterator[ExtraVariant]:
    """A candidate for each proposal."""
    for one in found:
        for proposal in one.proposals:
            plan = proposal.plan
            label = f"trial-{proposal.number}"
            yield ExtraVariant(label, one.place, lambda _, plan=plan: plan, proposal.words)  # type: ignore[misc]
