"""What runs in an executor: top-level functions of contents, which give bytes.

A file's content is given as the file itself, to processes of this machine, or as bytes, to any other. Inference runs
in one thread: sums do not depend on how many cores a machine has, and as many transforms as there are cores may run.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgemill_converters.building.step import code_digest, versions
from edgemill_converters.precisions import Given, precision_for
from edgemill_converters.quantization.calibration import Calibration, collect, plan_from
from edgemill_converters.quantization.histogram import Histogram
from edgemill_converters.quantization.plan import Plan
from edgemill_converters.quantization.statistics import Statistics
from edgemill_converters.searching.space import Choice, spread_over
from edgemill_core.durable import sha256_bytes
from edgemill_core.errors import ModelError, PassError
from edgemill_core.tensors import Array
from edgemill_runtimes.machine import Machine

Content = bytes | Path
_PARTS = ("numpy", "onnx", "onnxruntime", "onnxruntime-gpu")
_COLUMNS = ("mean_low", "mean_high", "low", "high")


@dataclass(frozen=True)
class Transformed:
    """A graph in its runtime's dialect, and the plan it was written from, of static INT8.

    Attributes:
        refused: why there is none; ``graph`` is empty then.
    """

    graph: bytes = b""
    plan: Plan | None = None
    refused: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of the graph; empty where there is none."""
        return sha256_bytes(self.graph) if self.graph else ""


def worker_facts() -> dict[str, object]:
    """What must be equal wherever transforms run."""
    return {"code": code_digest(), **versions(*_PARTS)}


def collect_statistics(graph: Content, pictures: Content, names: Sequence[str], count: int) -> bytes:
    """Statistics of calibration on ``count`` of the pictures, spread over them, as ``.npz``.

    Args:
        graph: baked, FP32.
        pictures: ``.npy`` of engine inputs, one row a picture.
        names: of all pictures, for messages.

    Raises:
        ModelError, DataError: as ``collect``.
    """
    rows: Array = np.load(pictures, mmap_mode="r") if isinstance(pictures, Path) else np.load(io.BytesIO(pictures))
    chosen = spread_over(range(len(rows)), count)
    pictures_of = (np.array(rows[place : place + 1]) for place in chosen)
    named = [names[place] for place in chosen]
    return packed(collect(_graph(graph), pictures_of, names=named, threads=1))


def transform(
    graph: Content,
    statistics: Content | None,
    choice: Choice,
    order: Sequence[str],
    runtime: str,
    weight_bits: int,
    machine: Machine,
) -> Transformed:
    """One trial's graph.

    Args:
        graph: baked, FP32.
        statistics: of ``choice.samples`` pictures; ``None`` where the precision needs none.
        order: layers, the first to stay in float first.
        weight_bits: see ``Plan``.
        machine: that the search measures on.
    """
    model = _graph(graph)
    try:
        plan = None
        if statistics is not None:
            plan = plan_from(model, unpacked(_bytes(statistics)), weight_bits, choice.quantization)
            kept = set(order[: choice.float_layers])
            plan = replace(plan, layers=tuple(name for name in plan.layers if name not in kept))
        made = precision_for(choice.precision, runtime).render(Given(runtime, model, plan, machine))
    except (ModelError, PassError) as error:
        return Transformed(refused=error.what)
    return Transformed(made.graph.SerializeToString(deterministic=True), plan)


def packed(calibration: Calibration) -> bytes:
    """As ``.npz``, the same bytes for the same statistics."""
    seen = list(calibration.tensors.values())
    means = [one.channel_means for one in seen]
    arrays: dict[str, Any] = {
        "names": np.frombuffer(json.dumps(list(calibration.tensors)).encode(), np.uint8),
        "samples": np.array(calibration.samples),
        "limits": np.array([one.histogram.limit for one in seen]),
        "counts": np.stack([one.histogram.counts for one in seen]),
        "channels": np.array([mean.size for mean in means]),
        "means": np.concatenate(means),
        **{name: np.array([getattr(one, name) for one in seen]) for name in _COLUMNS},
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def unpacked(content: bytes) -> Calibration:
    """What ``packed`` wrote."""
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        names = json.loads(found["names"].tobytes())
        means = np.split(found["means"], np.cumsum(found["channels"])[:-1])
        columns = {name: found[name] for name in _COLUMNS}
        limits, counts, samples = found["limits"], found["counts"], int(found["samples"])
    tensors = {
        name: Statistics(
            **{column: float(values[place]) for column, values in columns.items()},
            histogram=Histogram(float(limits[place]), counts[place]),
            channel_means=means[place],
        )
        for place, name in enumerate(names)
    }
    return Calibration(tensors, samples)


def _graph(content: Content) -> onnx.ModelProto:
    return onnx.load_from_string(_bytes(content))


def _bytes(content: Content) -> bytes:
    return content.read_bytes() if isinstance(content, Path) else content
