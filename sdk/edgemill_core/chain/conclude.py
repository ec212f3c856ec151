"""One verdict over all stages of a chain: the worst decision, with reasons that name stage and box. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgemill_core.chain.look import Crop, Crops
from edgemill_core.chain.stages import Stage
from edgemill_core.verdict import Decision, Verdict


@dataclass(frozen=True)
class Seen:
    """One look of a stage.

    Attributes:
        crop: which of the finder's findings; ``None`` for the picture.
        verdict: the task's; ``None`` for a crop that is too small to show anything.
    """

    crop: Crop | None
    verdict: Verdict | None

    def as_dict(self) -> dict[str, object]:
        """JSON-ready form; ``box`` is in shares of the whole picture."""
        told: dict[str, object] = {}
        if self.crop is not None:
            told |= {"of": self.crop.finding.kind, "score": self.crop.finding.score}
            told["box"] = [round(value, 5) for value in self.crop.where]
            if self.crop.look is not None and self.crop.look.rotate:
                told["rotate"] = self.crop.look.rotate
        if self.verdict is None:
            return {**told, "too_small": True}
        said = self.verdict.as_dict()
        return {**told, "decision": said["decision"], "confidence": said["confidence"], "reading": said["reading"]}


@dataclass(frozen=True)
class StageSaw:
    """What a stage of the chain saw on one part.

    Attributes:
        crops: what it was to look at; ``None`` for a stage that looks at the picture.
        doubt: the score below which its finder does not list a finding, clipped to 0 to 1.
    """

    stage: Stage
    seen: tuple[Seen, ...]
    crops: Crops | None = None
    doubt: float = 0.0


@dataclass(frozen=True)
class _Point:
    """One thing that speaks for a decision; ``confidence`` is in that decision, of an uncertain one that the part is
    fit.
    """

    decision: Decision
    confidence: float
    reasons: tuple[str, ...] = ()


def conclude(saw: Sequence[StageSaw]) -> Verdict:
    """The verdict over all stages.

    An engine that gave no number rejects the part whatever the others say, and the verdict has no confidence. Else the
    worst decision holds, for all of its reasons: a reject is as sure as the surest that says so; what is uncertain or
    passes, as the least sure.
    """
    reading = {"stages": {one.stage.name: _told(one) for one in saw}}
    broken = [
        reason
        for one in saw
        for seen in one.seen
        if seen.verdict is not None and seen.verdict.broken
        for reason in _named(one.stage, seen.crop, seen.verdict.reasons)
    ]
    if broken:
        return Verdict(Decision.REJECT, tuple(broken), reading=reading)
    points = [point for one in saw for point in _points(one)]
    for decision, which in ((Decision.REJECT, max), (Decision.UNCERTAIN, min)):
        found = [point for point in points if point.decision is decision]
        if found:
            reasons = tuple(reason for point in found for reason in point.reasons)
            return Verdict(decision, reasons, which(point.confidence for point in found), reading)
    return Verdict(Decision.PASS, (), min((point.confidence for point in points), default=1.0), reading)


def _points(saw: StageSaw) -> Iterator[_Point]:
    stage, lacking = saw.stage, Decision(saw.stage.lacking)
    if saw.crops is not None:
        yield from _about_crops(saw, saw.crops)
    for seen in saw.seen:
        if seen.verdict is None and seen.crop is not None:
            width, height = seen.crop.size
            said = f"{width} x {height} pixels show nothing, at least {stage.smallest} needed"
            yield _Point(lacking, _sure(seen.crop.finding.score, lacking), _named(stage, seen.crop, (said,)))
        elif seen.verdict is not None and stage.decides:
            reasons = _named(stage, seen.crop, seen.verdict.reasons)
            yield _Point(seen.verdict.decision, seen.verdict.confidence, reasons)


def _about_crops(saw: StageSaw, crops: Crops) -> Iterator[_Point]:
    stage, lacking = saw.stage, Decision(saw.stage.lacking)
    what = " or ".join(stage.classes) or "found"
    if crops.found < stage.required:
        said = f"{stage.name}: {crops.found} {what} by {stage.crops_of}, at least {stage.required} needed"
        yield _Point(lacking, _sure(1 - saw.doubt, lacking), (said,))
    elif crops.found > len(crops.taken):
        said = f"{stage.name}: {crops.found} {what} by {stage.crops_of}, only {len(crops.taken)} looked at"
        yield _Point(Decision.UNCERTAIN, _sure(crops.surplus, Decision.UNCERTAIN), (said,))
    elif not crops.found:
        yield _Point(Decision.PASS, _sure(1 - saw.doubt, Decision.PASS))


def _sure(share: float, decision: Decision) -> float:
    clipped = min(1.0, max(0.0, share))
    return 1 - clipped if decision is Decision.UNCERTAIN else clipped


def _named(stage: Stage, crop: Crop | None, reasons: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{stage.name}{_at(crop)}: {reason}" for reason in reasons)


def _at(crop: Crop | None) -> str:
    if crop is None:
        return ""
    left, top, right, bottom = crop.where
    return f" ({crop.finding.kind} at {(left + right) / 2:.2f} {(top + bottom) / 2:.2f})"


def _told(saw: StageSaw) -> dict[str, object]:
    told: dict[str, object] = {"seen": [seen.as_dict() for seen in saw.seen]}
    if saw.crops is not None:
        told["found"] = saw.crops.found
    return told
