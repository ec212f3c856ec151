"""The contract of a task: engine outputs and what the line knows, to a verdict."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from edgemill_core.errors import EngineError
from edgemill_core.tensors import Array
from edgemill_core.validation import Strict
from edgemill_core.verdict import Decision, Verdict


class Task(Strict, ABC):
    """Settings and rules of one kind of job; written into the bundle's manifest as they are.

    A subclass gives ``name``, ``metrics``, ``output`` and ``_judge``. The base class holds what every task owes:
    an output that is missing is an error, and one that is not a number is never passed.
    """

    metrics: ClassVar[tuple[str, ...]]
    """Names of the metrics that make sense for this task (``edgemill_core.metrics``)."""
    output: ClassVar[str]
    """Name of the one engine output that the task reads."""
    takes: ClassVar[tuple[str, ...]] = ("pictures",)
    """What models of this task look at: pictures, numbers or tensors (``edgemill_core.engine_input``)."""
    tunable: ClassVar[tuple[str, ...]] = ()
    """Settings that a box may set for itself: those that say what is made of an output, not what the output is."""

    name: str

    def verdict(self, outputs: Mapping[str, Array], context: Mapping[str, str]) -> Verdict:
        """Decide on one part.

        Args:
            outputs: the engine's outputs for one input, batch dimension first.
            context: what the line knows of this part, e.g. the code it should carry.

        Raises:
            EngineError: the engine has no output of the name the task reads, or one of another width.
        """
        if self.output not in outputs:
            raise EngineError(
                f"task {self.name!r} found no output to read",
                expected=self.output,
                got=", ".join(outputs) or "no output",
                fix="rebuild the bundle with `edgemill build`",
            )
        values = np.asarray(outputs[self.output])
        if not np.isfinite(values).all():
            return Verdict(Decision.REJECT, ("the engine gave values that are not numbers",))
        return self._judge(values, context)

    def _row(self, values: Array, names: Sequence[object]) -> Array:
        """One sample's values, flat: one a name.

        Raises:
            EngineError: there are more or fewer.
        """
        if values.size != len(names):
            raise EngineError(
                f"task {self.name!r} cannot read an output of another width",
                expected=f"{self.output}: {len(names)} values ({', '.join(map(str, names))})",
                got=f"{values.size} values, shape {list(values.shape)}",
                fix="name under task: what the model gives, in its order, and rebuild with `edgemill build`",
            )
        return values.reshape(-1)

    @abstractmethod
    def _judge(self, values: Array, context: Mapping[str, str]) -> Verdict:
        """Decide on finite ``values``."""


def each_once(what: str, names: Sequence[str]) -> None:
    """Refuse names that stand twice.

    Raises:
        ValueError: naming them.
    """
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ValueError(f"{what} names these twice: {', '.join(doubled)}")
