"""Draw a verdict onto a frame, for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgemill_core.chain import Look
from edgemill_core.durable import write_bytes
from edgemill_core.inspection import findings_in, in_words
from edgemill_core.picture_input import Region
from edgemill_core.verdict import Decision, Verdict
from edgemill_runtimes.frames.decode import Frame, encode_png
from edgemill_runtimes.frames.opencv import cv2

_COLOURS = {Decision.PASS: (90, 160, 0), Decision.REJECT: (40, 40, 210), Decision.UNCERTAIN: (0, 150, 230)}
_FOUND = (200, 60, 160)


def annotate(frame: Frame, region: Region | None, verdict: Verdict, target: Path) -> None:
    """Write a PNG of the frame with the region looked at, what was found in it, the decision and the first reason."""
    picture = frame.copy()
    colour = _COLOURS[verdict.decision]
    _draw_findings(picture, region, verdict)
    if region is not None:
        corner = (region.x + region.width, region.y + region.height)
        cv2.rectangle(picture, (region.x, region.y), corner, colour, 2)
    lines = [verdict.decision.value.upper(), *in_words(verdict.reading).values(), *verdict.reasons[:1]]
    for number, line in enumerate(lines):
        place = (12, 28 + 26 * number)
        cv2.putText(picture, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 4, cv2.LINE_AA)
        cv2.putText(picture, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.7, colour, 2, cv2.LINE_AA)
    write_bytes(target, encode_png(picture))


def _draw_findings(picture: Frame, region: Region | None, verdict: Verdict) -> None:
    height, width = picture.shape[:2]
    looked = Look(region or Region(x=0, y=0, width=width, height=height))
    _draw_boxes(picture, looked, verdict.reading)
    stages = verdict.reading.get("stages")
    for stage in stages.values() if isinstance(stages, dict) else ():
        for seen in stage["seen"]:
            _draw_seen(picture, looked, seen)


def _draw_seen(picture: Frame, looked: Look, seen: Mapping[str, Any]) -> None:
    """One look of a chain's stage: what it found, and the crop that it saw with what was read in it."""
    height, width = picture.shape[:2]
    if "box" in seen:
        left, top, right, bottom = (
            round(value * side) for value, side in zip(seen["box"], (width, height, width, height), strict=True)
        )
        region = Region(x=left, y=top, width=max(1, right - left), height=max(1, bottom - top))
        looked = Look(region, seen.get("rotate", 0))
        colour = _COLOURS[Decision(seen.get("decision", "reject"))]
        words = ", ".join(in_words(seen["reading"]).values()) if "reading" in seen else "too small"
        _draw_box(picture, (left, top, right, bottom), colour, words, bottom + 16)
    _draw_boxes(picture, looked, seen.get("reading", {}))


def _draw_boxes(picture: Frame, looked: Look, reading: Mapping[str, Any]) -> None:
    for finding in findings_in(reading):
        left, top, right, bottom = map(round, looked.on_picture(finding.box))
        words = f"{finding.kind} {finding.score:.2f}"
        _draw_box(picture, (left, top, right, bottom), _FOUND, words, max(14, top - 5))


def _draw_box(
    picture: Frame, box: tuple[int, int, int, int], colour: tuple[int, int, int], words: str, baseline: int
) -> None:
    cv2.rectangle(picture, box[:2], box[2:], colour, 2)
    place = (box[0], baseline)
    cv2.putText(picture, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 3, cv2.LINE_AA)
    cv2.putText(picture, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
