"""The pictures on which a variant flips, small enough to carry in the page."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from functools import partial

import numpy as np

from edgemill_converters.report.boxed import boxed_picture, compared
from edgemill_converters.report.flips import Flip, Kind, flips
from edgemill_converters.report.labelled import class_names, really_there
from edgemill_converters.report.markup import Markup, element, empty_element, joined
from edgemill_converters.report.wording import chip, metric_word
from edgemill_converters.result import BuildResult, VariantResult
from edgemill_core.errors import InputError
from edgemill_core.inspection import Finding, findings_in, in_words
from edgemill_core.picture_input import PictureInput, Region
from edgemill_core.samples import Sample, Truth
from edgemill_core.tensor_files import SUFFIXES as TENSORS
from edgemill_core.verdict import Verdict
from edgemill_runtimes.frames import Frame, read_picture
from edgemill_runtimes.frames.opencv import cv2

SHOWN = 8
"""Flips shown per variant."""
_MOST_BYTES = 14_000
_STEPS = ((480, 88), (480, 70), (480, 50), (320, 50), (240, 40))
"""Longest side in pixels and JPEG quality, tried in turn until the picture is small enough."""
Truths = Callable[[Sample], Sequence[Finding] | None]
LEGEND = (
    "Boxes in the pictures: solid blue is the {}'s, dashed orange the {}'s, dotted green what is really there. "
    "What only one of them found is thick and named: lost, or new."
)
_WORDS = {Kind.WORSE: "worse", Kind.BETTER: "better", Kind.NEUTRAL: "moves no budget", Kind.READING: "reading only"}


def flips_section(result: BuildResult) -> Markup:
    """For each variant, what ships first: how many verdicts flip, and the pictures."""
    judged = [variant for variant in result.variants if variant.verdicts]
    ranked = sorted(judged, key=lambda v: v.name not in result.choice.shipped)
    return joined(_of_variant(result, variant) for variant in ranked)


def _of_variant(result: BuildResult, variant: VariantResult) -> Markup:
    metrics = [budget.metric for budget in result.recipe.budget]
    found = flips(result.samples, result.reference, variant.verdicts, metrics)
    title = element("h3", variant.name)
    if not found:
        return joined((title, element("p", f"No flips: all {len(result.samples):,} verdicts as the reference's.")))
    declared = result.recipe.input
    region = declared.region if isinstance(declared, PictureInput) else None
    truths = partial(really_there, classes=class_names(result.recipe), declared=declared)
    return joined((title, flip_cards(found, len(result.samples), region, truths=truths)))


def flip_cards(
    found: Sequence[Flip],
    samples: int,
    region: Region | None,
    names: tuple[str, str] = ("reference", "variant"),
    truths: Truths = lambda _: None,
) -> Markup:
    """How many verdicts flip, and the pictures of the first.

    Args:
        found: at least one.
        samples: how many there were.
        region: of the pictures that is looked at.
        names: of those that say the one and the other.
        truths: gives the boxes that are really there, where somebody labelled them.
    """
    cards = (_card(flip, region, names, truths(flip.sample) or ()) for flip in found[:SHOWN])
    legend = (
        element("p", LEGEND.format(*names), class_="lead") if any(_findings(flip) for flip in found[:SHOWN]) else ""
    )
    return joined((_account(found, samples, names), legend, element("div", joined(cards), class_="flips")))


def _account(found: Sequence[Flip], samples: int, names: tuple[str, str]) -> Markup:
    counts = Counter(flip.kind for flip in found)
    words = {
        Kind.WORSE: "for the worse",
        Kind.BETTER: "for the better",
        Kind.NEUTRAL: "with another decision that moves no budget",
        Kind.READING: "with the same decision and another reading",
    }
    parts = ", ".join(f"{counts[kind]:,} {words[kind]}" for kind in Kind if counts[kind])
    verdicts = "verdict differs" if len(found) == 1 else "verdicts differ"
    shown = f" The first {SHOWN}:" if len(found) > SHOWN else ""
    return element("p", f"{len(found):,} of {samples:,} {verdicts} between {names[0]} and {names[1]}: {parts}.{shown}")


def _card(flip: Flip, region: Region | None, names: tuple[str, str], truth: Sequence[Finding]) -> Markup:
    word = f"{_WORDS[flip.kind]}: {', '.join(map(metric_word, flip.metrics))}" if flip.metrics else _WORDS[flip.kind]
    caption = element(
        "figcaption",
        element("span", word, class_=f"chip {flip.kind.value}"),
        element("dl", joined(joined((element("dt", term), element("dd", said))) for term, said in _facts(flip, names))),
    )
    return element("figure", _picture(flip, region, names, truth), caption, class_="flip")


def _facts(flip: Flip, names: tuple[str, str]) -> list[tuple[str, Markup]]:
    sample, truth = flip.sample, flip.sample.truth
    facts = [("sample", element("code", sample.id)), ("truth", _truth(truth))]
    facts += [(key, element("code", value)) for key, value in sample.context.items()]
    return [*facts, (names[0], _verdict(flip.before, truth)), (names[1], _verdict(flip.after, truth))]


def _truth(truth: Truth | None) -> Markup:
    if truth is None:
        return joined(("not labelled",))
    part = "good part" if truth.good else "bad part"
    return joined((part, *((", carries ", element("code", truth.text)) if truth.text is not None else ())))


def _verdict(verdict: Verdict, truth: Truth | None) -> Markup:
    read = joined((_reading(key, value, truth) for key, value in in_words(verdict.reading).items()), ", ")
    sure = f" at {verdict.confidence:.2f}" if verdict.confidence == verdict.confidence else " without a number"
    # A reason that only repeats the reading tells nothing that does not stand there already.
    repeated = str(verdict.reading.get("text") or "\0") in "".join(verdict.reasons[:1])
    why = element("div", verdict.reasons[0], class_="lead") if verdict.reasons and not repeated else ""
    return joined((chip(verdict.decision), " ", read, sure, why))


def _reading(key: str, value: str, truth: Truth | None) -> Markup:
    if key != "text":
        return joined((f"{key}: {value}",))
    if not value:
        return joined(("reads nothing",))
    text = value
    return joined(
        ("reads ", element("code", text if truth is None or truth.text is None else _marked(text, truth.text)))
    )


def _marked(text: str, truth: str) -> Markup:
    """The text with what is not on the part marked, and what is missing struck through."""
    parts: list[str] = []
    for step, start, end, first, last in SequenceMatcher(None, truth, text, autojunk=False).get_opcodes():
        if step == "equal":
            parts.append(text[first:last])
            continue
        parts += [element("del", truth[start:end])] if step == "delete" else []
        parts += [element("mark", text[first:last])] if last > first else []
    return joined(parts)


def _picture(flip: Flip, region: Region | None, names: tuple[str, str], truth: Sequence[Finding]) -> Markup:
    sample = flip.sample
    if sample.fields:
        figures = ", ".join(f"{name} {value:g}" for name, value in sample.fields.items())
        return element("div", figures, class_="unread")
    if sample.picture.suffix.lower() in TENSORS:
        return element("div", f"tensors of {sample.picture.name}", class_="unread")
    try:
        content, size = _small_jpeg(sample, region)
    except InputError as error:
        return element("div", f"cannot be shown: {error.what}", class_="unread")
    alt = f"Sample {sample.id}: {names[0]} says {flip.before.decision.value}, {names[1]} {flip.after.decision.value}"
    source = "data:image/jpeg;base64," + b64encode(content).decode()
    if both := _findings(flip):
        return boxed_picture(source, size, compared(*both), truth, alt, names)
    return empty_element("img", src=source, alt=alt)


def _findings(flip: Flip) -> tuple[list[Finding], list[Finding]] | None:
    """What both found, where the task finds things and one of them found any."""
    before, after = findings_in(flip.before.reading), findings_in(flip.after.reading)
    return (before, after) if before or after else None


def _small_jpeg(sample: Sample, region: Region | None) -> tuple[bytes, tuple[int, int]]:
    """The picture, and the width and height in pixels of what it shows."""
    frame = read_picture(sample.picture)
    if region is not None:
        frame = frame[region.y : region.y + region.height, region.x : region.x + region.width]
    if not frame.size:
        raise InputError(f"the region to look at lies outside of {sample.picture}")
    content = b""
    # A noisy picture costs many times a clean one: give way in quality and size, so that the page stays small.
    for longest_side, quality in _STEPS:
        content = _encoded(frame, longest_side, quality)
        if len(content) <= _MOST_BYTES:
            break
    return content, (frame.shape[1], frame.shape[0])


def _encoded(frame: Frame, longest_side: int, quality: int) -> bytes:
    height, width = frame.shape[:2]
    scale = longest_side / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
    return bytes(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])
