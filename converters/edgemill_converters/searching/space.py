"""What there is to choose from: what the bundle's variants can express, and no more.

Threads and throughput mode are the box's own to set, and no variant carries them. Symmetric or not is the dialect's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from edgemill_converters.building.plain import digest_of
from edgemill_converters.candidates import UNCHANGED
from edgemill_converters.quantization.methods import METHODS
from edgemill_converters.quantization.methods.percentile import DEFAULT
from edgemill_converters.quantization.settings import MethodName, Quantization
from edgemill_converters.targets import Target

OrderName = Literal["gain", "loss"]
ORDERS: tuple[OrderName, ...] = get_args(OrderName)
LEAST_CLIPPED, MOST_CLIPPED = 1e-4, 1.0
"""Per cent of the values that method ``percentile`` may leave out."""
LEAST_SAMPLES = 8
MOST_FLOAT = 0.5
"""Share of the layers that may stay in float: with more there is little INT8 left."""


@dataclass(frozen=True)
class Choice:
    """The parameters of one trial; those below ``precision`` are of static INT8 alone.

    Attributes:
        precision: a word of ``PRECISIONS``.
        method: how ranges are made.
        clipped: per cent of the values that method ``percentile`` leaves out; ``None`` for any other.
        samples: calibration pictures.
        bias_correction: see ``Quantization``.
        float_layers: how many layers stay in float, from the first of the order on.
        order: of the layers: those that lose most for the time they cost in float first, or those that lose most.
    """

    precision: str
    method: MethodName | None = None
    clipped: float | None = None
    samples: int = 0
    bias_correction: bool = False
    float_layers: int = 0
    order: OrderName = "gain"

    @property
    def key(self) -> str:
        """Names the parameters, in 16 digits."""
        return digest_of(self)[:16]

    @property
    def quantization(self) -> Quantization:
        """As a recipe says it."""
        percentile = None if self.clipped is None else 100 - self.clipped
        return Quantization(method=self.method, percentile=percentile, bias_correction=self.bias_correction)

    @property
    def words(self) -> str:
        """For people."""
        if self.precision != "int8":
            return self.precision
        method = f"percentile {100 - self.clipped:.7g}" if self.clipped is not None else str(self.method)
        said = [method, f"{self.samples} pictures", "biases corrected" if self.bias_correction else ""]
        by, count = "by loss per ms" if self.order == "gain" else "by loss", self.float_layers
        said.append(f"{count} layer{'s' * (count > 1)} in float {by}" if count else "")
        return ", ".join(filter(None, said))


@dataclass(frozen=True)
class Space:
    """What may be chosen for one target.

    Attributes:
        others: precisions beside static INT8 that the target asks for, the model itself left out: a trial each.
        samples: numbers of calibration pictures.
        most_float: most layers that may stay in float.
        plain: what a build's own INT8 is.
    """

    others: tuple[str, ...]
    samples: tuple[int, ...]
    most_float: int
    plain: Choice

    @classmethod
    def of(cls, target: Target, settings: Quantization, pictures: int, layers: int) -> Space:
        """The space of one target.

        Args:
            settings: the recipe's, with the method that suits the task.
            pictures: in the calibration set.
            layers: that can be quantized.
        """
        clipped = None
        if settings.method == "percentile":
            clipped = round(100 - (DEFAULT if settings.percentile is None else settings.percentile), 10)
        plain = Choice("int8", settings.method, clipped, pictures, settings.bias_correction)
        others = tuple(name for name in target.precisions if name not in ("int8", *UNCHANGED))
        return cls(others, sample_counts(pictures), int(layers * MOST_FLOAT), plain)

    @property
    def opening(self) -> list[Choice]:
        """What is tried whatever the sampler thinks: plain INT8, and each other precision."""
        return [self.plain, *(Choice(name) for name in self.others)]

    @property
    def methods(self) -> list[MethodName]:
        """Ways to a range."""
        return list(METHODS)


def sample_counts(pictures: int) -> tuple[int, ...]:
    """A quarter, a half and all of the pictures, but not fewer than ``LEAST_SAMPLES`` if there are so many."""
    counts = (pictures // 4, pictures // 2, pictures)
    return tuple(sorted({max(count, min(LEAST_SAMPLES, pictures)) for count in counts}))


def spread_over(pictures: Sequence[int], count: int) -> list[int]:
    """``count`` of ``pictures``, at even steps, and always the same."""
    return [pictures[index * len(pictures) // count] for index in range(count)]
