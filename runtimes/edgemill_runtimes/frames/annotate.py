"""Draw a verdict onto a frame, for people."""

from __future__ import annotations

from pathlib import Path

from edgemill_core.durable import write_bytes
from edgemill_core.inspection import in_words
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
    looked = region or Region(x=0, y=0, width=width, height=height)
    findings = verdict.reading.get("findings")
    for finding in findings if isinstance(findings, list) else ():
        left, top, right, bottom = finding["box"]
        corner = (looked.x + round(left * looked.width), looked.y + round(top * looked.height))
        far = (looked.x + round(right * looked.width), looked.y + round(bottom * looked.height))
        cv2.rectangle(picture, corner, far, _FOUND, 2)
        place = (corner[0], max(14, corner[1] - 5))
        words = f"{finding['class']} {finding['score']:.2f}"
        cv2.putText(picture, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 3, cv2.LINE_AA)
        cv2.putText(picture, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, _FOUND, 1, cv2.LINE_AA)
