"""What the search for a mixed precision found: which layers stay float, why, and what it took to find out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edgemill_converters.quantization.plan import Plan
from edgemill_core.budget import Outcome


@dataclass(frozen=True)
class LayerEffect:
    """One quantizable layer.

    Attributes:
        layer: name of the node in the FP32 graph.
        op: its operator.
        loss: what quantizing it adds to the squared error at the task's output, as a share of the squared output
            (0.01 is one percent). To first order, losses of layers add up.
        cost_ms: milliseconds of one inference that leaving it float adds on the target, by the kernels' own times;
            below 0 where float is faster.
        kept_float: whether the plan that was found leaves it float.
        measured: whether ``loss`` was measured of this layer alone; else it is its share of what its group loses.
    """

    layer: str
    op: str
    loss: float
    cost_ms: float
    kept_float: bool
    measured: bool


@dataclass(frozen=True)
class TriedMix:
    """One precision per layer, judged on the search set.

    Attributes:
        label: e.g. ``all float``, ``all INT8``, ``3 of 52 float``.
        kept_float: layers left float, in the order in which they were chosen.
        metrics: each metric of the budget, of this mix on the search set.
        estimated_ms: of one inference, by the kernels' own times; ``None`` where none had to be taken.
        outcome: of the budget's judge on the search set.
        inside: whether the search took it as inside: see ``mixing.is_inside``.
        why: the judge's sentence.
    """

    label: str
    kept_float: tuple[str, ...]
    metrics: Mapping[str, float]
    estimated_ms: float | None
    outcome: Outcome
    inside: bool
    why: str


@dataclass(frozen=True)
class FallbackFound:
    """What came of the search for one target.

    Attributes:
        target: e.g. ``openvino-cpu``.
        plan: the plan with fewer layers; ``None`` where none is needed or none helps, and ``reasons`` say which.
        layers: every quantizable layer, in the order of the graph; empty where no layer had to be looked at.
        tried: in the order in which they ran.
        graphs: how many graphs were run: each mix, each group of layers, the reference and the local estimates.
        inferences: how many inferences that took, those of ``graphs`` together.
        resumed: how many of the graphs an earlier, broken-off search had run already.
        seconds: how long the search took, without what an earlier one did.
        reasons: in words, what was done and why it ended.
    """

    target: str
    plan: Plan | None
    layers: tuple[LayerEffect, ...]
    tried: tuple[TriedMix, ...]
    graphs: int
    inferences: int
    resumed: int
    seconds: float
    reasons: tuple[str, ...]

    @property
    def kept_float(self) -> tuple[str, ...]:
        """Names of the layers that the plan leaves float."""
        return tuple(effect.layer for effect in self.layers if effect.kept_float)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form, without the plan."""
        told = {name: value for name, value in vars(self).items() if name not in ("plan", "layers", "tried", "reasons")}
        return {
            **told,
            "layers": [asdict(effect) for effect in self.layers],
            "tried": [{**asdict(mix), "outcome": mix.outcome.value} for mix in self.tried],
            "reasons": list(self.reasons),
        }
