"""The contract of a precision: where it can be had, what it needs, and the graph that it makes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass

import onnx

from edgemill_converters.quantization.plan import Plan
from edgemill_core.precision_hint import PrecisionHint
from edgemill_runtimes.machine import Machine
from edgemill_runtimes.nvidia.plan_facts import NVIDIA_RUNTIMES

WEIGHED = ("Conv", "ConvTranspose", "MatMul", "Gemm")
"""Operators whose second operand is weights."""


@dataclass(frozen=True)
class Given:
    """What a variant is made from.

    Attributes:
        runtime: that it is to run on.
        graph: the baked graph, in the precision that the model was trained in.
        plan: the quantization plan; ``None`` where no precision asked for needs calibration.
        machine: that the variant is built, measured and judged on.
    """

    runtime: str
    graph: onnx.ModelProto
    plan: Plan | None
    machine: Machine


@dataclass(frozen=True)
class Rendered:
    """A graph in its runtime's dialect, and the steps that made it, for the report; empty if there were none."""

    graph: onnx.ModelProto
    steps: str = ""


class Precision(ABC):
    """One word that may stand under ``precisions:`` of a target.

    Attributes:
        name: the word.
        tolerance: largest absolute difference of outputs that golden samples may show on another box.
        of_float64: it is for models that compute in float64, and others are not.
        calibrated: whether it needs ``data: calibration:``.
        integer: whether products are summed in integers, which CPUs do differently; see ``Machine.int8_family``.
        on_nvidia: whether TensorRT computes in it because the graph says so.
        hint: what engines must be told, because the graph cannot say it.
    """

    name: str
    tolerance: float
    of_float64: bool = False
    calibrated: bool = False
    integer: bool = False
    on_nvidia: bool = False
    hint: PrecisionHint | None = None

    def runtimes(self) -> Collection[str] | None:
        """Those that it can be rendered for; ``None`` for any that reads ONNX, see ``on_nvidia`` besides."""
        return None

    def can_run_on(self, runtime: str) -> bool:
        """Whether it can be rendered for ``runtime``."""
        if runtime in NVIDIA_RUNTIMES:
            return self.on_nvidia
        able = self.runtimes()
        return able is None or runtime in able

    @abstractmethod
    def render(self, given: Given) -> Rendered:
        """Make the graph for ``given.runtime``, one of ``runtimes()``.

        Raises:
            ModelError: the model has nothing that could be written so.
            PassError: a pass failed.
        """
