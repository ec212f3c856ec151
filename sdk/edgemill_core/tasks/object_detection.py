"""Boxes with classes, and rules about how many of them there may be where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from edgemill_core.inspection import Band, Box, Finding, Rule, Ruling, check_rules, decide, reading_of
from edgemill_core.inspection.boxes import suppress
from edgemill_core.inspection.labelled import Detections
from edgemill_core.inspection.rules import Share
from edgemill_core.metrics import MEAN_AVERAGE_PRECISION
from edgemill_core.tasks.base import Task, each_once
from edgemill_core.tensors import Array
from edgemill_core.verdict import Decision, Verdict

MOST_OF_A_CLASS = 1000
"""Things of one class that are told apart; where there are so many, more may be there that nobody looked at."""
_NOTHING = 0.05
"""Boxes below it, or below the band, are not looked at."""
RANKED_FROM, RANKED = 0.01, 100
"""Average precision ranks boxes from this score on, at most so many of a class in a picture."""


class ObjectDetection(Task):
    """Things found in a picture.

    The engine's output is ``detections: float32[1, boxes, 4 + len(classes)]``: left, top, right and bottom in shares of
    the picture that the model sees, then a score a class, 0 to 1. Boxes share one unit with the scores on purpose: a
    tensor that holds pixels beside probabilities leaves INT8 no steps for the latter. Overlapping boxes of one class
    are thinned out here, not in the graph, where not every runtime can do it.

    Attributes:
        classes: in the order of the model's output.
        head: what the model itself gives: ``yolov8`` ([1, 4 + classes, boxes], centre and size in pixels), ``yolov5``
            ([1, boxes, 5 + classes], the fifth being the probability that there is anything), ``boxes-scores`` (two
            outputs, [1, boxes, 4] corners in pixels and [1, boxes, classes]), or ``detections`` as above.
        most_overlap: intersection over union above which two boxes of a class are one thing.
        band: from which score on a box counts.
        rules: what must hold; nothing may be found if no rule is given.
    """

    metrics: ClassVar[tuple[str, ...]] = ("escape_rate", "overkill_rate", MEAN_AVERAGE_PRECISION)
    output: ClassVar[str] = "detections"
    tunable: ClassVar[tuple[str, ...]] = ("band", "rules")

    name: Literal["object-detection"] = "object-detection"
    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    head: Literal["yolov8", "yolov5", "boxes-scores", "detections"]
    most_overlap: Share = 0.5
    band: Band = Band()
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)] = (Rule(at_most=0),)

    @model_validator(mode="after")
    def _fit_together(self) -> ObjectDetection:
        each_once("classes", self.classes)
        check_rules(self.rules, self.classes)
        return self

    def _judge(self, values: Array, context: Mapping[str, str]) -> Verdict:  # noqa: ARG002 (the contract's)
        found = self.find(values[0])
        ruling = _if_all_were_seen(decide(found, self.rules, self.band), found)
        return inspected(ruling, [finding for finding in found if finding.score >= self.listed_from])

    @property
    def listed_from(self) -> float:
        """The score from which on a finding stands in the reading."""
        return min(rule.band.uncertain_from if rule.band else self.band.uncertain_from for rule in self.rules)

    def find(self, rows: Array) -> list[Finding]:
        """What ``float[boxes, 4 + classes]`` shows, the surest first, without doubles."""
        bands = [rule.band for rule in self.rules if rule.band] + [self.band]
        least = min(_NOTHING, *(band.uncertain_from for band in bands))
        found = self._without_doubles(rows, least, MOST_OF_A_CLASS)
        each = zip(found.corners, found.scores, found.kinds, strict=True)
        return [self._finding(corners, score, int(kind)) for corners, score, kind in each]

    def rank(self, rows: Array) -> Detections:
        """What ``float[boxes, 4 + classes]`` shows down to low scores, for average precision; bands play no part.

        An output that is not all numbers shows nothing.
        """
        return self._without_doubles(rows if np.isfinite(rows).all() else rows[:0], RANKED_FROM, RANKED)

    def _without_doubles(self, rows: Array, least: float, most: int) -> Detections:
        scores = np.asarray(rows[:, 4:], np.float64)
        box, kind = np.nonzero(scores >= least)
        corners = np.clip(np.asarray(rows[box, :4], np.float64), 0.0, 1.0)
        kept = suppress(corners, scores[box, kind], kind, self.most_overlap, most)
        return Detections(corners[kept], scores[box, kind][kept], kind[kept])

    def _finding(self, corners: Array, score: float, kind: int) -> Finding:
        box = Box(*(float(value) for value in corners))
        return Finding(self.classes[kind], float(score), box, box.area)


def _if_all_were_seen(ruling: Ruling, findings: Sequence[Finding]) -> Ruling:
    """A part does not pass on what nobody looked at."""
    counts = Counter(finding.kind for finding in findings)
    crowded = [kind for kind, count in counts.items() if count >= MOST_OF_A_CLASS]
    if not crowded or ruling.decision is not Decision.PASS:
        return ruling
    reason = f"{MOST_OF_A_CLASS} or more {' and '.join(crowded)}: more than are told apart"
    return Ruling(Decision.UNCERTAIN, (reason,), 0.0)


def inspected(ruling: Ruling, findings: Sequence[Finding]) -> Verdict:
    """The verdict of rules over findings."""
    return Verdict(ruling.decision, ruling.reasons, ruling.confidence, reading_of(findings))
