"""The verdict of the build in one sentence: what ships where, and how much faster, or plainly why not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from edgemill_converters.report.wording import (
    NOT_MEASURED,
    UNQUANTIZED,
    fp32_of,
    objective_ms,
    objective_name,
    place,
    reason,
    target_of,
)
from edgemill_converters.result import BuildResult, VariantResult
from edgemill_core.budget import Outcome
from edgemill_core.bundle import through


class Tone(str, Enum):
    """How the news is."""

    GOOD = "good"
    PLAIN = "plain"
    BAD = "bad"


@dataclass(frozen=True)
class Headline:
    """The sentence, and what is to be said right below it."""

    tone: Tone
    sentence: str
    details: tuple[str, ...] = ()


def headline(result: BuildResult) -> Headline:
    """Say what the build came to."""
    if result.choice.without or not result.choice.shipped:
        return _nothing(result)
    shipped = [result.variant(name) for name in result.choice.shipped]
    sentence = "; ".join(_clause(result, variant) for variant in shipped) + "."
    gained = any(variant.precision not in UNQUANTIZED for variant in shipped)
    return Headline(Tone.GOOD if gained else Tone.PLAIN, sentence)


def _nothing(result: BuildResult) -> Headline:
    places = {target_of(v): place(v) for v in result.variants}
    lacking = result.choice.without or tuple(places)
    named = " and for ".join(places.get(target, target) for target in lacking)
    found = [v for v in result.variants if target_of(v) in lacking]
    spared = [result.variant(name) for name in result.choice.shipped]
    details = [f"{v.name}: {reason(result, v)}" for v in [*found, *spared]]
    return Headline(Tone.BAD, f"Nothing ships: no variant for {named} is inside the budget.", tuple(details))


def _clause(result: BuildResult, variant: VariantResult) -> str:
    ships = f"{variant.precision.upper()} ships for {place(variant)}"
    if variant.stand_in:
        return f"{ships}, {through(variant.stand_in)}, and its latency is {NOT_MEASURED}"
    if variant.precision in UNQUANTIZED:
        return f"{ships}, {_why_no_int8(result, variant)}"
    fp32 = fp32_of(result, variant)
    if fp32 is None:
        return f"{ships}, where the recipe asks for no FP32 to compare with"
    ratio = objective_ms(result, fp32) / objective_ms(result, variant)
    against = _against(result, variant, fp32)
    if ratio >= 1:
        return f"{ships}, {ratio:.2f} times as fast as FP32 on the same runtime ({against})"
    why = "which the recipe does not ask for" if fp32.yardstick else "which is not inside the budget"
    return f"{ships}, slower than FP32 on the same runtime ({against}), {why}"


def _why_no_int8(result: BuildResult, fp32: VariantResult) -> str:
    rivals = [v for v in result.variants if v.precision not in UNQUANTIZED and target_of(v) == target_of(fp32)]
    if not rivals:
        return "the only precision asked for there"
    order = [Outcome.PASS, Outcome.UNDECIDED, Outcome.FAIL]
    rival = min(rivals, key=lambda v: (order.index(v.ruling.outcome), objective_ms(result, v)))
    label, slower = rival.precision.upper(), objective_ms(result, rival) > objective_ms(result, fp32)
    against = _against(result, rival, fp32)
    if rival.ruling.outcome is Outcome.PASS:
        return f"because {label} was {'slower' if slower else 'no faster'} ({against})"
    if rival.ruling.gates:
        return f"because {label} was refused: {rival.ruling.gates[0]}"
    lost = "is outside the budget"
    if rival.ruling.outcome is Outcome.UNDECIDED:
        lost = "was judged on too few samples to tell"
    return f"because {label} {lost}{f', and was slower besides ({against})' if slower else ''}"


def _against(result: BuildResult, one: VariantResult, other: VariantResult) -> str:
    first, second = objective_ms(result, one), objective_ms(result, other)
    return f"{first:.2f} ms against {second:.2f} ms, {objective_name(result)}"
