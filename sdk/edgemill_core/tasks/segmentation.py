"""A score for every pixel: segmentation into classes, or an anomaly map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from edgemill_core.inspection import Band, Box, Finding, Rule, check_rules, decide
from edgemill_core.inspection.regions import regions
from edgemill_core.tasks.base import Task, each_once
from edgemill_core.tasks.object_detection import inspected
from edgemill_core.tensors import Array
from edgemill_core.verdict import Verdict


class Segmentation(Task):
    """Regions of pixels that score high.

    The engine's output is ``map: float32[1, len(classes), height, width]``. Pixels that reach the band's
    ``uncertain_from`` and touch make a finding; its score is its highest pixel's, its area the share of the map that
    it covers. An anomaly map is a segmentation with one class, with scores in the model's own unit: give a band.

    Attributes:
        classes: in the order of the model's output.
        background: the class of what is of no interest; nothing is found of it.
        head: what the model itself gives: ``logits`` (softmax over the classes is put into the graph),
            ``independent`` logits (sigmoid), or ``scores`` as they are.
        band: from which score on a pixel belongs to a finding, and from which one the finding is sure.
        rules: what must hold; nothing may be found if no rule is given.
    """

    metrics: ClassVar[tuple[str, ...]] = ("escape_rate", "overkill_rate", "auroc", "aupro", "iou")
    output: ClassVar[str] = "map"
    tunable: ClassVar[tuple[str, ...]] = ("band", "rules")

    name: Literal["segmentation"] = "segmentation"
    classes: Annotated[tuple[str, ...], Field(min_length=1)] = ("anomaly",)
    background: str | None = None
    head: Literal["logits", "independent", "scores"] = "scores"
    band: Band = Band()
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)] = (Rule(at_most=0),)

    @model_validator(mode="after")
    def _fit_together(self) -> Segmentation:
        each_once("classes", self.classes)
        if self.background is not None and self.background not in self.classes:
            raise ValueError(f"background names what is no class: {self.background}")
        if self.background in {name for rule in self.rules for name in rule.classes}:
            raise ValueError(f"a rule is about the background: {self.background}")
        if any(rule.band is not None for rule in self.rules):
            raise ValueError("a rule of this task has no band of its own: the task's band makes the regions")
        check_rules(self.rules, self.classes)
        return self

    def _judge(self, values: Array, context: Mapping[str, str]) -> Verdict:  # noqa: ARG002 (the contract's)
        found = self.find(values[0])
        ruling = decide(found, self.rules, self.band)
        return inspected(ruling, found)

    @property
    def listed_from(self) -> float:
        """The score from which on a finding stands in the reading."""
        return self.band.uncertain_from

    def find(self, maps: Array) -> list[Finding]:
        """What ``float[classes, height, width]`` shows, the highest first."""
        found = [
            finding
            for kind, scores in zip(self.classes, maps, strict=True)
            if kind != self.background
            for finding in _regions_of(kind, np.asarray(scores, np.float64), self.band.uncertain_from)
        ]
        return sorted(found, key=lambda finding: -finding.score)

    def defect_scores(self, maps: Array) -> NDArray[np.float32]:
        """Of ``float[classes, height, width]`` the highest score of what is of interest, ``float32[height, width]``."""
        of_interest = [number for number, kind in enumerate(self.classes) if kind != self.background]
        found: NDArray[np.float32] = np.asarray(maps[of_interest], np.float32).max(axis=0)
        return found


def _regions_of(kind: str, scores: NDArray[np.float64], least: float) -> list[Finding]:
    mask = scores >= least
    if not mask.any():
        return []
    numbers = regions(mask)[mask] - 1
    y, x = np.nonzero(mask)
    count = int(numbers.max()) + 1
    peak = np.full(count, -np.inf)
    np.maximum.at(peak, numbers, scores[mask])
    pixels = np.bincount(numbers, minlength=count)
    edges = [_most(count, numbers, -x), _most(count, numbers, -y), _most(count, numbers, x), _most(count, numbers, y)]
    height, width = scores.shape
    surest = np.argsort(-peak, kind="stable")
    return [
        Finding(
            kind,
            float(peak[index]),
            Box(
                -float(edges[0][index]) / width,
                -float(edges[1][index]) / height,
                float(edges[2][index] + 1) / width,
                float(edges[3][index] + 1) / height,
            ),
            float(pixels[index]) / scores.size,
        )
        for index in surest
    ]


def _most(count: int, numbers: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
    most = np.full(count, np.iinfo(np.int64).min)
    np.maximum.at(most, numbers, values)
    return most
