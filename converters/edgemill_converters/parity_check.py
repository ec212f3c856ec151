"""Run a model's own framework on the judge's samples, and beside it, on some of them, the graph that was made of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from edgemill_converters.bake import BakedModel, reference_output
from edgemill_converters.importers.base import Native
from edgemill_converters.judging import reference_outputs
from edgemill_converters.parity import TOLERANCE, OutputParity, parity_indices
from edgemill_core.engine_input import AnyInput
from edgemill_core.errors import ModelError
from edgemill_core.row_input import RowInput
from edgemill_core.tensors import Array
from edgemill_runtimes.engines import load


@dataclass(frozen=True)
class Compared:
    """What came of it.

    Attributes:
        reference: what the task reads of the framework's outputs, ``[samples, …]``.
        read: what it reads of the graph's, of the samples of ``parity_indices``.
        outputs: every output of the model.
    """

    reference: Array
    read: Array
    outputs: tuple[OutputParity, ...]


def reference_beside_graph(
    baked: BakedModel, native: Native, declared: AnyInput, prepared: Array, progress: Callable[[str], None]
) -> Compared:
    """Give all samples to the framework, and some also to the imported graph on ONNX Runtime.

    Args:
        prepared: engine inputs, ``[samples, …]``.

    Raises:
        ModelError: they differ by more than ``TOLERANCE``.
    """
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder, "imported.onnx")
        onnx.save(baked.reference, graph)
        with load("onnxruntime", graph) as engine:
            names = [value.name for value in baked.reference.graph.output]

            def ours(feeds: Mapping[str, Array]) -> list[Array]:
                found = engine.run(feeds)
                return [np.array(found[name]) for name in names]

            beside = _Beside(baked, native, ours, names, parity_indices(len(prepared)), isinstance(declared, RowInput))
            reference = reference_outputs(replace(baked, native=beside), declared, prepared, progress)
    for one in beside.outputs:
        if not one.holds:
            raise _apart(one, len(prepared))
    return Compared(reference, np.concatenate(beside.read), beside.outputs)


class _Beside:
    """The framework; of the samples in ``indices`` it also asks the graph."""

    def __init__(
        self, baked: BakedModel, native: Native, graph: Native, names: Sequence[str], indices: Sequence[int], rows: bool
    ) -> None:
        self._baked, self._native, self._graph, self._rows = baked, native, graph, rows
        self._indices, self._next = set(indices), 0
        self.read: list[Array] = []
        self.outputs = tuple(OutputParity(name, 0.0, 0.0) for name in names)

    def __call__(self, feeds: Mapping[str, Array]) -> Sequence[Array]:
        found = list(self._native(feeds))
        count = len(next(iter(feeds.values()))) if self._rows else 1
        for place in range(count):
            if self._next in self._indices:
                part = slice(place, place + 1) if self._rows else slice(None)
                self._compare({name: value[part] for name, value in feeds.items()}, [one[part] for one in found])
            self._next += 1
        return found

    def _compare(self, feeds: Mapping[str, Array], theirs: Sequence[Array]) -> None:
        ours = self._graph(feeds)
        self.outputs = tuple(
            _worse(known, self._next, a, b) for known, a, b in zip(self.outputs, ours, theirs, strict=True)
        )
        self.read.append(np.array(reference_output(self._baked, ours)))


def _worse(known: OutputParity, sample: int, ours: Array, theirs: Array) -> OutputParity:
    if np.shape(ours) != np.shape(theirs):
        raise ModelError(
            f"the imported graph gives {known.name!r} in another shape than the model's framework",
            expected=str(list(np.shape(theirs))),
            got=str(list(np.shape(ours))),
            fix="report the model; or export it to ONNX yourself and name that file",
        )
    difference, largest = _difference(ours, theirs), max(known.largest, _amount(theirs))
    if difference > known.difference:
        return OutputParity(known.name, difference, largest, sample)
    return replace(known, largest=largest)


def _difference(ours: Array, theirs: Array) -> float:
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    with np.errstate(invalid="ignore"):  # infinity less infinity
        apart = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
    return float(np.nan_to_num(apart, nan=np.inf).max(initial=0.0))


def _amount(values: Array) -> float:
    amounts = np.abs(values.astype(np.float64))
    return float(amounts[np.isfinite(amounts)].max(initial=0.0))


def _apart(output: OutputParity, samples: int) -> ModelError:
    return ModelError(
        "the imported graph does not compute what the model's framework computes",
        expected=f"{output.name} equal up to {output.allowed:.3g} ({TOLERANCE:g} of its largest value)",
        got=f"a difference of {output.difference:.3g}, the largest at number {output.sample + 1} of {samples} "
        "judge samples",
        fix="look in the model for what depends on the input's values, on chance or on a mode (dropout, batch norm); "
        "or export it to ONNX yourself, and name that file",
    )
