"""Read one line of print and compare it with what should stand there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from edgemill_core.tasks.base import Task
from edgemill_core.tensors import Array
from edgemill_core.verdict import Decision, Verdict


class TextRecognition(Task):
    """A line of text, read by connectionist temporal classification.

    The engine's output is ``probabilities: float32[1, steps, 1 + len(alphabet)]``, class 0 being the blank.
    Decoding takes the best class per step, merges repeats and drops blanks (greedy CTC: Graves et al. 2006,
    "Connectionist Temporal Classification", section 3.2). The confidence of a reading is that of its weakest
    character.

    Attributes:
        alphabet: every character the line may carry, in the order of the engine's classes.
        pattern: regular expression the reading must match in full when the line does not say what to expect.
        min_confidence: below it a reading is ``uncertain``, 0 to 1.
    """

    metrics: ClassVar[tuple[str, ...]] = ("escape_rate", "overkill_rate", "exact_rate", "character_error_rate")
    output: ClassVar[str] = "probabilities"
    tunable: ClassVar[tuple[str, ...]] = ("min_confidence",)

    name: Literal["text-recognition"] = "text-recognition"
    alphabet: Annotated[str, Field(min_length=1)]
    pattern: str | None = None
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.5

    @field_validator("alphabet")
    @classmethod
    def _each_once(cls, alphabet: str) -> str:
        doubled = sorted({c for c in alphabet if alphabet.count(c) > 1})
        if doubled:
            raise ValueError(f"these characters stand twice in the alphabet: {' '.join(doubled)}")
        return alphabet

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from error
        return pattern

    def _judge(self, values: Array, context: Mapping[str, str]) -> Verdict:
        text, confidence = self.read(values[0])
        reading = {"text": text}
        expected = context.get("expected")
        if not text:
            return Verdict(Decision.REJECT, ("no text found",), 0.0, reading)
        if expected is not None and text != expected:
            return Verdict(Decision.REJECT, (f"reads {text!r}, not {expected!r}",), confidence, reading)
        if expected is None and self.pattern is not None and not re.fullmatch(self.pattern, text):
            reason = f"reads {text!r}, which does not have the form of a code"
            return Verdict(Decision.REJECT, (reason,), confidence, reading)
        if confidence < self.min_confidence:
            reason = f"weakest character at {confidence:.2f}, below {self.min_confidence:.2f}"
            return Verdict(Decision.UNCERTAIN, (reason,), confidence, reading)
        return Verdict(Decision.PASS, (), confidence, reading)

    def read(self, probabilities: Array) -> tuple[str, float]:
        """Decode ``float[steps, 1 + len(alphabet)]`` to text and the confidence of its weakest character."""
        best = probabilities.argmax(axis=1)
        peaks = probabilities.max(axis=1)
        keep = (best != 0) & (np.concatenate(([0], best[:-1])) != best)
        # A character held over several steps is as sure as its surest step.
        runs = np.cumsum(keep)
        strength = [float(peaks[(runs == run) & (best != 0)].max()) for run in range(1, int(runs[-1]) + 1)]
        text = "".join(self.alphabet[index - 1] for index in best[keep])
        stripped = text.strip()
        lead = len(text) - len(text.lstrip())
        kept = strength[lead : lead + len(stripped)]
        return stripped, min(kept, default=0.0)
