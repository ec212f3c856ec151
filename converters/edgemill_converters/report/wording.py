"""How numbers, outcomes and places are put into words, the same on the whole page."""

from __future__ import annotations

from math import isfinite

from edgemill_converters.recipe import Objective
from edgemill_converters.report.markup import Markup, element
from edgemill_converters.result import BuildResult, VariantResult
from edgemill_core.budget import Outcome
from edgemill_core.bundle import through
from edgemill_core.errors import RecipeError
from edgemill_core.metrics import Metric, metric_named
from edgemill_core.parts_of_one import said
from edgemill_core.verdict import Decision

NOT_AVAILABLE = "n/a"
NOT_MEASURED = "not measured here"
UNQUANTIZED = ("fp32", "fp64")
_MARKS = {"pass": "✓", "fail": "✗", "undecided": "?", "reject": "✗", "uncertain": "?"}


def percent(share: float) -> str:
    """A part of 1 in percent; ``n/a`` where there was nothing to count."""
    return f"{share:.2%}" if isfinite(share) else NOT_AVAILABLE


def metric_value(name: str, value: float) -> str:
    """A rate in percent, a mean loss as the number that it is."""
    metric = _metric(name)
    if metric is not None and metric.is_loss:
        return f"{value:.5g}" if isfinite(value) else NOT_AVAILABLE
    return percent(value)


def megabytes(size_bytes: int) -> str:
    """Bytes as MB of 10^6 bytes."""
    return f"{size_bytes / 1e6:.1f}"


def chip(word: Outcome | Decision) -> Markup:
    """An outcome or a decision as a coloured word; the mark tells it apart without colour."""
    return element("span", f"{_MARKS[word.value]} {word.value}", class_=f"chip {word.value}")


def metric_title(name: str) -> str:
    """A metric for people."""
    metric = _metric(name)
    return metric.title if metric is not None else name


def _metric(name: str) -> Metric | None:
    try:
        return metric_named(name)
    except RecipeError:
        return None


def metric_word(name: str) -> str:
    """A metric in a word or few: its title without what stands in brackets."""
    return metric_title(name).partition(" (")[0]


def confidence(share: float) -> str:
    """A confidence without idle digits: 95%, 99.9%."""
    return said(share)


def target_of(variant: VariantResult) -> str:
    """The target's key, as ``Choice.without`` writes it."""
    return f"{variant.runtime}-{variant.device}"


def place(variant: VariantResult) -> str:
    """The target for people, e.g. ``onnxruntime on CPU``."""
    return f"{variant.runtime} on {variant.device}"


def objective_ms(result: BuildResult, variant: VariantResult) -> float:
    """The latency that the recipe asks to keep small, in milliseconds; of a variant that was measured."""
    measured = variant.measurement
    assert measured is not None
    return measured.p99_ms if result.recipe.objective is Objective.LATENCY_P99 else measured.p50_ms


def objective_name(result: BuildResult) -> str:
    """``p50`` or ``p99``."""
    return "p99" if result.recipe.objective is Objective.LATENCY_P99 else "p50"


def fp32_of(result: BuildResult, variant: VariantResult) -> VariantResult | None:
    """The unquantized variant on the variant's own target, asked for or as the yardstick; FP64 for trees."""
    same = [v for v in result.variants if v.precision in UNQUANTIZED and target_of(v) == target_of(variant)]
    return same[0] if same else None


def ships(result: BuildResult, variant: VariantResult) -> bool:
    """Whether the variant goes into the bundle; with one target unserved there is no bundle at all."""
    return variant.name in result.choice.shipped and not result.choice.without


def reason(result: BuildResult, variant: VariantResult) -> str:
    """Why the variant ships, or why not."""
    refused = [refusal.why for refusal in result.choice.refused if refusal.variant == variant.name]
    if refused:
        return refused[0]
    if result.choice.without:
        lacking = ", ".join(result.choice.without)
        return f"best of its target, but there is no bundle: nothing is inside the budget for {lacking}"
    best = "smallest" if variant.stand_in else "fastest"
    said = f"; {through(variant.stand_in)}" if variant.stand_in else ""
    return f"{best} inside the budget for {target_of(variant)}: {variant.ruling.why}{said}"


def milliseconds(variant: VariantResult, tail: bool) -> str:
    """Its p99 (``tail``) or p50."""
    measured = variant.measurement
    if measured is None:
        return NOT_MEASURED
    return f"{measured.p99_ms if tail else measured.p50_ms:.2f}"


def memory(variant: VariantResult) -> str:
    """Its peak memory in MB of 10^6 bytes."""
    return NOT_MEASURED if variant.measurement is None else f"{variant.measurement.peak_memory_mb:.0f}"


def budget_used(variant: VariantResult) -> float:
    """The worst upper bound relative to what is allowed: at most 1 is inside every drop bound."""
    return max((j.drop_upper_bound / j.budget.max_drop for j in variant.ruling.judgements), default=float("inf"))
