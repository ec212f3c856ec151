"""One class of several, whatever the model looks at, and which classes are fit to pass."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from edgemill_core.evidence import ClassScores
from edgemill_core.inspection.rules import Share
from edgemill_core.tasks.base import Task, each_once
from edgemill_core.tensors import Array
from edgemill_core.validation import Strict
from edgemill_core.verdict import Decision, Verdict


class Limits(Strict):
    """What the probability that the part is fit makes of it; in between it is ``uncertain``.

    Attributes:
        reject_below: below it the part is rejected.
        pass_from: from here on it passes.
    """

    reject_below: Share = 0.5
    pass_from: Share = 0.5

    @model_validator(mode="after")
    def _rises(self) -> Limits:
        if self.pass_from < self.reject_below:
            raise ValueError("pass_from is not below reject_below")
        return self


class OneOfClasses(Task):
    """Something of one of several classes.

    The engine's output is ``probabilities: float[1, len(classes)]``. What is judged is the probability that the part
    is fit: the sum over the classes in ``fit``.

    Attributes:
        classes: in the order of the model's output.
        fit: classes that pass.
        head: what the model itself gives: ``logits`` (softmax is put into the graph), ``independent`` logits (sigmoid),
            or ``probabilities``.
        limits: from probability to decision.
    """

    metrics: ClassVar[tuple[str, ...]] = (
        "escape_rate",
        "overkill_rate",
        "class_rate",
        "precision",
        "recall",
        "f1",
        "auroc",
        "calibration_error",
    )
    output: ClassVar[str] = "probabilities"
    tunable: ClassVar[tuple[str, ...]] = ("limits",)

    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    fit: Annotated[tuple[str, ...], Field(min_length=1)]
    head: Literal["logits", "independent", "probabilities"] = "logits"
    limits: Limits = Limits()

    @cached_property
    def fit_places(self) -> tuple[int, ...]:
        """Places of the classes that pass."""
        return tuple(self.classes.index(name) for name in self.fit)

    @model_validator(mode="after")
    def _fit_together(self) -> OneOfClasses:
        each_once("classes", self.classes)
        each_once("fit", self.fit)
        unknown = [name for name in self.fit if name not in self.classes]
        if unknown:
            raise ValueError(f"fit names what is no class: {', '.join(unknown)}")
        return self

    def _judge(self, values: Array, context: Mapping[str, str]) -> Verdict:  # noqa: ARG002 (the contract's)
        row = self._row(values, self.classes)
        best = int(row.argmax())
        fit = min(1.0, sum(float(row[index]) for index in self.fit_places))
        reading = {"class": self.classes[best]}
        if fit >= self.limits.pass_from:
            return Verdict(Decision.PASS, (), fit, reading)
        seen = f"looks like {self.classes[best]} ({float(row[best]):.2f})"
        if fit < self.limits.reject_below:
            return Verdict(Decision.REJECT, (seen,), 1 - fit, reading)
        reason = f"{seen}; fit with {fit:.2f}, between {self.limits.reject_below:.2f} and {self.limits.pass_from:.2f}"
        return Verdict(Decision.UNCERTAIN, (reason,), fit, reading)

    def scores_of(self, outputs: Array) -> ClassScores:
        """Outputs of a whole set, ``float[samples, len(classes)]``, for metrics that ask for more than verdicts.

        Raises:
            EngineError: outputs of another width.
        """
        if len(outputs):
            self._row(np.asarray(outputs[0]), self.classes)
        rows = np.asarray(outputs, np.float32).reshape(len(outputs), -1)
        broken = np.logical_not(np.isfinite(rows).all(axis=1))
        fitness = rows[:, list(self.fit_places)].sum(axis=1, dtype=np.float64)
        return ClassScores(
            self.classes,
            np.where(np.expand_dims(broken, 1), np.nan, rows),
            np.where(broken, 0.0, np.minimum(fitness, 1.0)),
        )


class Classification(OneOfClasses):
    """A row of numbers, or tensors, of one of several classes."""

    takes: ClassVar[tuple[str, ...]] = ("numbers", "tensors")

    name: Literal["classification"] = "classification"
