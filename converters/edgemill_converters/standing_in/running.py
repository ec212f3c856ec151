"""Run a graph in the stead of the runtime that it is for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from edgemill_converters.standing_in.spelling_out import SpellOut
from edgemill_core.tensors import Array
from edgemill_runtimes.requirements import installed_runtime

RUNTIME = "onnxruntime"
TOLERANCE = {"fp32": 1e-3, "fp16": 0.1, "int8": 1.0}
"""How far a box may be off what the stand-in gave, by precision: about twice what two faithful runs of one graph may
differ by. ``benchmarks/stand_in.py`` has the figures, docs/decisions/0036 the reasons."""
_LARGEST = 11.0
"""What the figures are of: outputs up to this. What rounding moves grows with them: FP16 has nothing between 512 and
512.5, e.g. pixels."""


def stand_in() -> str:
    """What stands in, for manifest and report."""
    package = installed_runtime(RUNTIME)
    return f"{' '.join(package or (RUNTIME,))} computing the graph as written"


def tolerance_of(precision: str, outputs: Array) -> float:
    """``TOLERANCE`` of golden ``outputs``, and as much more as they are larger than those that it was measured on."""
    largest = float(np.max(np.abs(outputs), initial=0.0, where=np.isfinite(outputs)))
    return TOLERANCE[precision] * max(1.0, largest / _LARGEST)


def write_spelled_out(graph: Path, into: Path) -> Path:
    """Write what the stand-in computes for ``graph``, one file with its weights, into the folder ``into``.

    Raises:
        PassError: the graph says something that cannot be computed as written here.
    """
    spelled = SpellOut()(onnx.load(graph))
    file = into / "spelled-out.onnx"
    onnx.save(spelled, file)
    return file
