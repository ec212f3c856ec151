"""Give every candidate the judge's pictures, and let the budget decide."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx

from edgemill_converters.bake import BakedModel, reference_feeds, reference_output
from edgemill_converters.importers.base import Native
from edgemill_core.engine_input import AnyInput
from edgemill_core.errors import DataError, InputError
from edgemill_core.row_input import RowInput
from edgemill_core.samples import Sample, Truth
from edgemill_core.tasks import Task
from edgemill_core.tensor_files import read_tensors
from edgemill_core.tensor_input import TensorInput
from edgemill_core.tensors import Array
from edgemill_core.verdict import Verdict
from edgemill_runtimes.engines import load
from edgemill_runtimes.frames import prepare, read_picture
from edgemill_runtimes.frames.decode import Frame
from edgemill_runtimes.isolation import EngineProcess


def prepare_set(samples: Sequence[Sample], declared: AnyInput) -> Array:
    """All samples of a set as engine inputs.

    Returns:
        ``uint8[samples, height, width, channels]``, ``float64[samples, features]``, or
        ``float32 | int64[samples, values]``.
    """
    return np.concatenate([_prepared(sample, declared) for sample in samples])


def _prepared(sample: Sample, declared: AnyInput) -> Array:
    if isinstance(declared, RowInput):
        return _row(sample, declared)
    if isinstance(declared, TensorInput):
        return read_tensors(sample.picture, declared)
    return prepare(_read(sample), declared)


def _read(sample: Sample) -> Frame:
    frame = read_picture(sample.picture)
    size = sample.truth.size if sample.truth is not None else None
    if size is not None and size != (frame.shape[1], frame.shape[0]):
        raise DataError(
            f"the labels of {sample.id} are of a picture of another size",
            expected=f"{frame.shape[1]} x {frame.shape[0]} pixels, as {sample.picture} has",
            got=f"{size[0]} x {size[1]} pixels",
            fix="export the labels for this picture, in its own pixels",
        )
    mask = read_picture(sample.truth.mask) if sample.truth is not None and sample.truth.mask is not None else frame
    if mask.shape != frame.shape:
        raise DataError(
            f"the mask of {sample.id} is of a picture of another size",
            expected=f"{frame.shape[1]} x {frame.shape[0]} pixels, as {sample.picture} has",
            got=f"{mask.shape[1]} x {mask.shape[0]} pixels",
            fix="export the mask for this picture, in its own pixels",
        )
    return frame


def _row(sample: Sample, declared: RowInput) -> Array:
    try:
        return declared.prepare(sample.fields)
    except InputError as error:
        raise DataError(
            f"row {sample.id!r} of {sample.picture}: {error.what}",
            expected=error.expected,
            got=error.got,
            fix=error.fix,
        ) from error


def truths_of(samples: Sequence[Sample], role: str = "judge") -> list[Truth]:
    """The labels of a set.

    Args:
        role: of the set, as in the recipe.

    Raises:
        DataError: a sample has none, or one that does not say whether it is good.
    """
    truths = [sample.truth for sample in samples if sample.truth is not None and sample.truth.good is not None]
    if len(truths) != len(samples):
        raise DataError(
            f"the {role} needs labels",
            expected=f"data: {role}: {{labels: …}}",
            got=f"{len(samples) - len(truths)} of {len(samples)} samples without a label",
            fix="label the pictures, or name a labelled set in the recipe",
        )
    return truths


def reference_outputs(baked: BakedModel, declared: AnyInput, prepared: Array, progress: Callable[[str], None]) -> Array:
    """Outputs of the untouched model, ``[samples, …]``: by its own library, or by ONNX Runtime on its graph."""
    if baked.native is not None:
        return _run_through(baked, declared, prepared, baked.native, progress)
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder, "reference.onnx")
        onnx.save(baked.reference, graph)
        with load("onnxruntime", graph) as engine:
            return _run_through(baked, declared, prepared, lambda feeds: list(engine.run(feeds).values()), progress)


def _run_through(
    baked: BakedModel, declared: AnyInput, prepared: Array, run: Native, progress: Callable[[str], None]
) -> Array:
    if isinstance(declared, RowInput) and baked.native is not None:  # all at once: libraries are slow to call
        return reference_output(baked, run(reference_feeds(baked, prepared, declared)))
    found = []
    for index in range(len(prepared)):
        if index % 50 == 0:
            progress(f"reference verdicts, {index} of {len(prepared)}")
        feeds = reference_feeds(baked, prepared[index : index + 1], declared)
        found.append(np.array(reference_output(baked, run(feeds))))
    return np.concatenate(found)


def outputs_of(child: EngineProcess, task: Task, inputs: Path, into: Path) -> Array:
    """The task's output for every input, computed in the child, ``[samples, …]``."""
    child.ask({"command": "outputs", "inputs": str(inputs), "output": task.output, "into": str(into)})
    found: Array = np.load(into, allow_pickle=False)
    return found


def verdicts_of(outputs: Array, task: Task, samples: Sequence[Sample]) -> list[Verdict]:
    """The task's verdict on each row of outputs."""
    return [
        task.verdict({task.output: outputs[index : index + 1]}, sample.context) for index, sample in enumerate(samples)
    ]
