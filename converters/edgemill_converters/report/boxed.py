"""A flip's picture with what reference and variant found in it, and what is really there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgemill_converters.report.markup import Markup, element, joined
from edgemill_core.inspection import Box, Finding
from edgemill_core.inspection.boxes import intersection_over_union

SAME_FROM = 0.5
"""Intersection over union from which on two boxes of one kind are the same thing."""
_DRAWN = 16
"""Most boxes of each sort in a picture; those that differ come first."""
_AROUND = 0.012
"""How far outside of its place a labelled box is drawn, of the longer side: else it lies hidden under a found one."""
_NAMED = 6
"""Most boxes with a label: more cover the picture."""


@dataclass(frozen=True)
class Compared:
    """What both found, and what only one did; the surest first."""

    both: tuple[tuple[Finding, Finding], ...]
    lost: tuple[Finding, ...]
    new: tuple[Finding, ...]

    @property
    def in_words(self) -> str:
        """What differs."""
        parts = [
            f"{word} {', '.join(f'{one.kind} {one.score:.2f}' for one in found[:_NAMED])}"
            for word, found in (("lost", self.lost), ("new", self.new))
            if found
        ]
        return "; ".join(parts) or "the same boxes"


def compared(before: Sequence[Finding], after: Sequence[Finding], same_from: float = SAME_FROM) -> Compared:
    """Pair findings of one kind that overlap by ``same_from`` or more, the first of ``before`` choosing first."""
    overlaps = intersection_over_union(_corners(before), _corners(after))
    free, both, lost = set(range(len(after))), [], []
    for index, one in enumerate(before):
        fitting = [j for j in free if after[j].kind == one.kind and overlaps[index, j] >= same_from]
        if not fitting:
            lost.append(one)
            continue
        best = max(fitting, key=lambda j: (overlaps[index, j], -j))
        free.remove(best)
        both.append((one, after[best]))
    return Compared(tuple(both), tuple(lost), tuple(after[j] for j in sorted(free)))


def _corners(findings: Sequence[Finding]) -> np.ndarray:
    boxes = [(f.box.left, f.box.top, f.box.right, f.box.bottom) for f in findings]
    return np.asarray(boxes, np.float64).reshape(-1, 4)


def boxed_picture(
    source: str,
    size: tuple[int, int],
    found: Compared,
    truth: Sequence[Finding],
    alt: str,
    names: tuple[str, str] = ("reference", "variant"),
) -> Markup:
    """The picture with boxes over it.

    Args:
        source: the picture as a data URL.
        size: of the part that the model looks at, in pixels; boxes are shares of it.
        truth: what is really there, if anybody labelled it.
        names: of those that found the one and the other.
    """
    width, height = size
    parts: list[Markup] = [element("image", href=source, width=width, height=height)]
    parts += [_box(one, size, "truth", f"really there: {one.kind}") for one in truth[:_DRAWN]]
    for one, other in found.both[:_DRAWN]:
        parts += [
            _box(one, size, "before", _says(names[0], one)),
            _box(other, size, "after", _says(names[1], other)),
        ]
    for kind, who, some in (
        ("before only", f"only {names[0]}", found.lost),
        ("after only", f"only {names[1]}", found.new),
    ):
        parts += [_box(one, size, kind, _says(who, one)) for one in some[:_DRAWN]]
    differing = [*(("lost", one) for one in found.lost), *(("new", one) for one in found.new)]
    parts += [_label(f"{word}: {one.kind} {one.score:.2f}", one.box, size) for word, one in differing[:_NAMED]]
    return element(
        "svg", joined(parts), viewBox=f"0 0 {width} {height}", role="img", aria_label=f"{alt}: {found.in_words}"
    )


def _says(who: str, finding: Finding) -> str:
    return f"{who}: {finding.kind} {finding.score:.2f}"


def _box(finding: Finding, size: tuple[int, int], kind: str, title: str) -> Markup:
    box, (width, height) = finding.box, size
    around = _AROUND * max(size) if kind == "truth" else 0.0
    place = {
        "x": f"{box.left * width - around:.1f}",
        "y": f"{box.top * height - around:.1f}",
        "width": f"{max(0.0, box.right - box.left) * width + 2 * around:.1f}",
        "height": f"{max(0.0, box.bottom - box.top) * height + 2 * around:.1f}",
    }
    drawn = element("rect", element("title", title), **place, class_=f"box {kind}")
    # A white line beneath keeps it visible on any picture.
    return drawn if kind == "after" else joined((element("rect", **place, class_="box case"), drawn))


def _label(words: str, box: Box, size: tuple[int, int]) -> Markup:
    width, height = size
    letter = max(width, height) / 24
    x = min(max(box.left * width, 0.0), max(0.0, width - 0.6 * letter * len(words)))
    above = box.top * height - 0.3 * letter
    y = above if above > letter else min(box.bottom * height + letter, height - 0.2 * letter)
    return element("text", words, x=f"{x:.1f}", y=f"{y:.1f}", font_size=f"{letter:.1f}")
