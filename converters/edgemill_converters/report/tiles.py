"""The few numbers at the top of the page, one row of tiles per variant that ships."""

from __future__ import annotations

from edgemill_converters.report.markup import Markup, element, joined
from edgemill_converters.report.wording import confidence, fp32_of, megabytes, metric_word, percent, place
from edgemill_converters.result import BuildResult, VariantResult
from edgemill_core.budget import Judgement


def tiles(result: BuildResult) -> Markup:
    """Speed, size, memory and bounds of what ships; nothing where nothing does."""
    if result.choice.without:
        return Markup()
    shipped = [result.variant(name) for name in result.choice.shipped]
    return joined(_row(result, variant) for variant in shipped)


def _row(result: BuildResult, variant: VariantResult) -> Markup:
    fp32, measured = fp32_of(result, variant), variant.measurement
    base = None if fp32 is None or fp32 is variant else fp32.measurement
    gain = f"{base.p50_ms / measured.p50_ms:.2f}× FP32" if base else variant.precision.upper()
    size, memory = megabytes(measured.size_bytes), f"{measured.peak_memory_mb:.0f}"
    found = [
        _tile(place(variant), gain, variant.name),
        _tile("latency p50", f"{measured.p50_ms:.2f} ms", f"FP32 {base.p50_ms:.2f} ms" if base else _tail(variant)),
        _tile("size", f"{size} MB", f"FP32 {megabytes(base.size_bytes)} MB" if base else "graph and weights"),
        _tile("peak memory", f"{memory} MB", f"FP32 {base.peak_memory_mb:.0f} MB" if base else "of its process"),
        *(_bound(judgement) for judgement in variant.ruling.judgements),
    ]
    return element("div", joined(found), class_="tiles")


def _tail(variant: VariantResult) -> str:
    return f"p99 {variant.measurement.p99_ms:.2f} ms"


def _bound(judgement: Judgement) -> Markup:
    budget = judgement.budget
    allowed = f"allowed {percent(budget.max_drop)} at {confidence(budget.confidence)}"
    return _tile(f"{metric_word(budget.metric)}: worse by", f"≤ {percent(judgement.drop_upper_bound)}", allowed)


def _tile(term: str, big: str, small: str) -> Markup:
    said = (element("dt", term), element("dd", big, class_="big"), element("dd", small, class_="small"))
    return element("dl", joined(said), class_="tile")
