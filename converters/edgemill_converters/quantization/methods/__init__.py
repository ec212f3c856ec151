"""The ways to a range, one file each: a new one is a new file and one line here."""

from __future__ import annotations

from collections.abc import Callable

from edgemill_converters.quantization.methods.averaged import Averaged
from edgemill_converters.quantization.methods.base import Method
from edgemill_converters.quantization.methods.entropy import Entropy
from edgemill_converters.quantization.methods.min_max import MinMax
from edgemill_converters.quantization.methods.mse import MeanSquaredError
from edgemill_converters.quantization.methods.percentile import DEFAULT, Percentile
from edgemill_converters.quantization.settings import MethodName, Quantization

METHODS: dict[MethodName, Callable[[Quantization], Method]] = {
    "averaged": lambda _: Averaged(),
    "min_max": lambda _: MinMax(),
    "percentile": lambda settings: Percentile(DEFAULT if settings.percentile is None else settings.percentile),
    "entropy": lambda _: Entropy(),
    "mse": lambda _: MeanSquaredError(),
}


def method_of(settings: Quantization) -> Method:
    """The method that a recipe names, or ``averaged``."""
    return METHODS[settings.method or "averaged"](settings)
