"""The quantization plan: what every dialect is written from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edgemill_core.durable import canonical_json, sha256_bytes

CORRECTED = ", biases corrected"
"""At the end of a ``Plan.method`` with shifts."""


@dataclass(frozen=True)
class Range:
    """Smallest and largest value that a tensor is to represent."""

    low: float
    high: float

    def scaled(self, factor: float) -> Range:
        """Both ends times ``factor``."""
        return Range(self.low * factor, self.high * factor)


@dataclass(frozen=True)
class Plan:
    """Ranges per tensor and the layers to compute in INT8.

    Attributes:
        ranges: per activation tensor.
        layers: names of the nodes to quantize; all others stay FP32.
        weight_bits: 8, or 7 for CPUs that sum INT8 products in 16 bits and would saturate (AVX2 without VNNI:
            ``vpmaddubsw``; ONNX Runtime's quantization guide calls it ``reduce_range``).
        method: how the ranges were found.
        samples: how many pictures they were found on.
        bias_shifts: per layer, what to add to the bias of each output channel; see ``quantization.bias``.
        shifts_in_8_bits: the same for weights of 8 bits, where the plan has 7 and a target takes 8 all the same.
    """

    ranges: Mapping[str, Range]
    layers: tuple[str, ...]
    weight_bits: int
    method: str
    samples: int
    bias_shifts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    shifts_in_8_bits: Mapping[str, tuple[float, ...]] | None = None

    @property
    def in_8_bits(self) -> Plan:
        """For what takes 8 bits on every machine; without corrected biases if they are not known."""
        if self.weight_bits == 8:
            return self
        method = self.method if self.shifts_in_8_bits is not None else self.method.removesuffix(CORRECTED)
        shifts = self.shifts_in_8_bits or {}
        return replace(self, weight_bits=8, bias_shifts=shifts, method=method, shifts_in_8_bits=None)

    def with_ranges_scaled(self, factor: float) -> Plan:
        """The same plan with every range times ``factor``: what stale or wrong calibration data does to a model."""
        return replace(self, ranges={name: found.scaled(factor) for name, found in self.ranges.items()})

    @property
    def digest(self) -> str:
        """SHA-256 of the whole plan."""
        ranges = {name: [found.low, found.high] for name, found in self.ranges.items()}
        shifts = [
            {name: list(shift) for name, shift in one.items()}
            for one in (self.bias_shifts, self.shifts_in_8_bits)
            if one is not None
        ]
        return sha256_bytes(canonical_json([ranges, list(self.layers), self.weight_bits, self.method, *shifts]))
