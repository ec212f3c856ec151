"""Between which sizes a plan must work, where the graph leaves some open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from edgemill_core.errors import InputError
from edgemill_core.tensors import Limits, TensorSpec


class Span(NamedTuple):
    """Least and most shape of one input; it is tuned for the most."""

    least: tuple[int, ...]
    most: tuple[int, ...]


def spans(inputs: Sequence[TensorSpec], limits: Mapping[str, Limits]) -> dict[str, Span]:
    """The shapes between which each input with open dimensions may be.

    Raises:
        InputError: an open dimension has no limits, or limits are for what the graph does not leave open.
    """
    unknown = sorted(set(limits) - {spec.name for spec in inputs})
    if unknown:
        raise InputError(
            f"limits were declared for {', '.join(unknown)}, which the graph does not take",
            expected=", ".join(spec.name for spec in inputs),
            got=", ".join(unknown),
            fix="mend the limits",
        )
    limited = [spec.limited(limits[spec.name]) if spec.name in limits else spec for spec in inputs]
    return {spec.name: _span(spec) for spec in limited if None in spec.shape}


def check_one_size(found: Mapping[str, Span]) -> None:
    """NVIDIA's accelerator (DLA) takes one size of each input: "profile's min, max, and opt values must be equal".

    Raises:
        InputError: some input may have several.
    """
    several = {name: span for name, span in found.items() if span.least != span.most}
    if several:
        raise InputError(
            "the deep learning accelerator takes inputs of one size, and some may have several",
            expected="least and most the same for each open size",
            got="; ".join(f"{name}: {list(span.least)} to {list(span.most)}" for name, span in several.items()),
            fix="build the graph with fixed sizes, declare one size for it, or write device: GPU in the recipe",
        )


def _span(spec: TensorSpec) -> Span:
    pairs = zip(spec.shape, spec.limits or (None,) * len(spec.shape), strict=True)
    ends = [limit or (size, size) for size, limit in pairs]
    least = [end[0] for end in ends if end[0] is not None]
    most = [end[1] for end in ends if end[1] is not None]
    if len(least) < len(spec.shape):
        raise InputError(
            f"the input {spec.name!r} leaves sizes open, and nothing says between which a plan must work",
            expected="least and most of each open size: a plan is compiled for a range",
            got=str(spec),
            fix="build the graph with fixed sizes, or declare limits for it",
        )
    return Span(tuple(least), tuple(most))
