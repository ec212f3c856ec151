"""How far two tensors lie apart, summed up over many samples. No runtime, no files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgemill_core.errors import InputError
from edgemill_core.tensors import Array


@dataclass(frozen=True)
class Difference:
    """Of one tensor over all samples.

    Attributes:
        tensor: its name at A.
        most: largest absolute difference; infinite where only one of the two is a finite number.
        mean: mean absolute difference.
        relative: root mean square of the difference over that of A's values; 0 where both are all zeros.
        by_sample: largest absolute difference of each sample.
    """

    tensor: str
    most: float
    mean: float
    relative: float
    by_sample: tuple[float, ...]

    def as_dict(self) -> dict[str, object]:
        """JSON-ready form; what is no finite number becomes ``None``."""
        figures = {"max": self.most, "mean": self.mean, "relative": self.relative}
        return {"tensor": self.tensor, **{key: finite(value) for key, value in figures.items()}}


def finite(value: float) -> float | None:
    """The value, or ``None`` in place of what JSON has no number for."""
    return value if np.isfinite(value) else None


class Tally:
    """Differences of one tensor while the samples come in."""

    def __init__(self, tensor: str) -> None:
        self.tensor = tensor
        self._by_sample: list[float] = []
        self._sum = self._squares = self._scale = 0.0
        self._count = 0

    def add(self, a: Array, b: Array) -> None:
        """One sample.

        Raises:
            InputError: the shapes differ.
        """
        if a.shape != b.shape:
            raise InputError(
                f"{self.tensor!r} has another shape at B",
                expected=str(list(a.shape)),
                got=str(list(b.shape)),
                fix="compare graphs of the same model, fed with the same shapes",
            )
        ours, theirs = np.asarray(a, np.float64), np.asarray(b, np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            apart = np.abs(ours - theirs)
        # Equal infinities and two NaN agree; a NaN or an infinity against a number could not lie further apart.
        apart[(ours == theirs) | (np.isnan(ours) & np.isnan(theirs))] = 0.0
        apart[np.isnan(apart)] = np.inf
        self._by_sample.append(float(apart.max(initial=0.0)))
        self._sum += float(apart.sum())
        self._squares += float(np.square(apart).sum())
        self._scale += float(np.square(ours[np.isfinite(ours)]).sum())
        self._count += apart.size

    def difference(self) -> Difference:
        """What the samples came to."""
        relative = np.sqrt(self._squares / self._scale) if self._scale else np.inf if self._squares else 0.0
        mean = self._sum / self._count if self._count else 0.0
        return Difference(self.tensor, max(self._by_sample, default=0.0), mean, float(relative), tuple(self._by_sample))


def pairs(a: list[str], b: list[str]) -> dict[str, str]:
    """Which output of B belongs to which of A: that of the same name, or the only one.

    Raises:
        InputError: no two belong together.
    """
    same = {name: name for name in a if name in b}
    if not same and len(a) == len(b) == 1:
        return {a[0]: b[0]}
    if not same:
        raise InputError(
            "the two have no output in common",
            expected=", ".join(a),
            got=", ".join(b),
            fix="compare graphs of the same model",
        )
    return same
