"""A build in one JSON-ready object: what ships, how much faster, how sure, and why nothing else."""

from __future__ import annotations

from edgemill_converters.result import BuildResult, VariantResult
from edgemill_core.budget import Judgement


def bundle_summary(result: BuildResult) -> dict[str, object]:
    """The build's outcome.

    ``speedup_vs_fp32`` is p50 of FP32 on the chosen variant's own runtime over p50 of the chosen one, null where
    nothing of its target runs here; ``stand_ins`` says of these variants what was judged in their stead. Metrics and
    bounds are in parts of 1, by metric.
    """
    chosen, fp32 = result.chosen, result.fp32_of_chosen
    return {
        "name": result.recipe.name,
        "version": result.recipe.version,
        "task": result.recipe.make_task().name,
        "chosen": {"variant": chosen.name, "runtime": chosen.runtime, "precision": chosen.precision}
        if chosen
        else None,
        "shipped": list(result.choice.shipped),
        "stand_ins": {v.name: v.stand_in for v in result.variants if v.stand_in},
        "speedup_vs_fp32": _speedup(chosen, fp32),
        "metric_fp32": _by_metric(fp32, "variant"),
        "metric_chosen": _by_metric(chosen, "variant"),
        "drop_upper_bound": _by_metric(chosen, "drop_upper_bound"),
        "budget": {b.metric: {"max_drop": b.max_drop, "confidence": b.confidence} for b in result.recipe.budget},
        "verdict": chosen.ruling.outcome.value if chosen else "fail",
        "refused": [{"variant": r.variant, "why": r.why} for r in result.choice.refused],
        "samples": len(result.samples),
        "content_digest": result.bundle.manifest.content_digest if result.bundle else None,
        "bundle": str(result.bundle.folder) if result.bundle else None,
        "report": str(result.report),
        "seconds": {step: round(value, 2) for step, value in result.seconds.items()},
        "cached": list(result.cached),
        "searches": [found.as_dict() for found in result.searches],
    }


def _speedup(chosen: VariantResult | None, fp32: VariantResult | None) -> float | None:
    if chosen is None or fp32 is None or chosen.measurement is None or fp32.measurement is None:
        return None
    return round(fp32.measurement.p50_ms / chosen.measurement.p50_ms, 3)


def _by_metric(variant: VariantResult | None, field: str) -> dict[str, float]:
    def value(judgement: Judgement) -> float:
        return round(float(getattr(judgement, field)), 6)

    return {j.budget.metric: value(j) for j in variant.ruling.judgements} if variant else {}
