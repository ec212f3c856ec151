"""The few numbers at the top of the page, one row of tiles per variant that ships."""

from __future__ import annotations

from collections.abc import Iterator

from edgemill_converters.report.markup import Markup, element, joined
from edgemill_converters.report.wording import (
    NOT_MEASURED,
    confidence,
    fp32_of,
    megabytes,
    memory,
    metric_word,
    percent,
    place,
)
from edgemill_converters.result import BuildResult, VariantResult
from edgemill_core.budget import Judgement
from edgemill_core.bundle import through


def tiles(result: BuildResult) -> Markup:
    """Speed, size, memory and bounds of what ships; nothing where nothing does."""
    if result.choice.without:
        return Markup()
    shipped = [result.variant(name) for name in result.choice.shipped]
    return joined(_row(result, variant) for variant in shipped)


def _row(result: BuildResult, variant: VariantResult) -> Markup:
    fp32 = fp32_of(result, variant)
    base = None if fp32 is None or fp32 is variant else fp32
    size, before = f"{megabytes(variant.size_bytes)} MB", f"FP32 {megabytes(base.size_bytes)} MB" if base else ""
    found = [
        *_timed(variant, base),
        _tile("size", size, before or "graph and weights"),
        *_memory(variant, base),
        *(_bound(judgement) for judgement in variant.ruling.judgements),
    ]
    return element("div", joined(found), class_="tiles")


def _timed(variant: VariantResult, base: VariantResult | None) -> Iterator[Markup]:
    measured, fp32 = variant.measurement, base.measurement if base is not None else None
    if measured is None:
        yield _tile(place(variant), variant.precision.upper(), variant.name)
        yield _tile("latency", NOT_MEASURED, through(variant.stand_in))
        if variant.plan is not None:
            boxes = " and ".join(variant.plan.compute_capabilities)
            yield _tile("plan", f"{megabytes(variant.plan.bytes)} MB", f"compute capability {boxes}")
        return
    gain = f"{fp32.p50_ms / measured.p50_ms:.2f}× FP32" if fp32 else variant.precision.upper()
    yield _tile(place(variant), gain, variant.name)
    small = f"FP32 {fp32.p50_ms:.2f} ms" if fp32 else f"p99 {measured.p99_ms:.2f} ms"
    yield _tile("latency p50", f"{measured.p50_ms:.2f} ms", small)


def _memory(variant: VariantResult, base: VariantResult | None) -> Iterator[Markup]:
    if variant.measurement is not None:
        before = f"FP32 {base.measurement.peak_memory_mb:.0f} MB" if base and base.measurement else ""
        yield _tile("peak memory", f"{memory(variant)} MB", before or "of its process")


def _bound(judgement: Judgement) -> Markup:
    budget = judgement.budget
    allowed = f"allowed {percent(budget.max_drop)} at {confidence(budget.confidence)}"
    return _tile(f"{metric_word(budget.metric)}: worse by", f"≤ {percent(judgement.drop_upper_bound)}", allowed)


def _tile(term: str, big: str, small: str) -> Markup:
    said = (element("dt", term), element("dd", big, class_="big"), element("dd", small, class_="small"))
    return element("dl", joined(said), class_="tile")
