"""Run a graph in the stead of the runtime that it is for."""

from __future__ import annotations

from pathlib import Path

import onnx

from edgemill_converters.standing_in.spelling_out import SpellOut
from edgemill_runtimes.requirements import installed_runtime

RUNTIME = "onnxruntime"
TOLERANCE = {"fp32": 1e-3, "fp16": 0.1, "int8": 0.5}
"""How far a box may be off what the stand-in gave, by precision; see docs/decisions/0036.

Of efficientnet-lite0, whose logits lie between -4 and 11, two runs of the same spelled-out graph that sum in another
order differ by 0.008 in FP16 and by 0.24 in INT8 at most: a value that lies between two steps falls to the one side
here and to the other there. A GPU rounds FP16 less often than is written, so that it may be off by as much as FP32 is:
0.056.
"""


def stand_in() -> str:
    """What stands in, for manifest and report."""
    package = installed_runtime(RUNTIME)
    return f"{' '.join(package or (RUNTIME,))} computing the graph as written"


def write_spelled_out(graph: Path, into: Path) -> Path:
    """Write what the stand-in computes for ``graph``, one file with its weights, into the folder ``into``.

    Raises:
        PassError: the graph says something that cannot be computed as written here.
    """
    spelled = SpellOut()(onnx.load(graph))
    file = into / "spelled-out.onnx"
    onnx.save(spelled, file)
    return file
