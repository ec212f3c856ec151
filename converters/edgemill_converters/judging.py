"""Give every candidate the judge's pictures, and let the budget decide."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx

from edgemill_converters.bake import BakedModel, reference_feeds, reference_output
from edgemill_core.errors import DataError, InputError
from edgemill_core.picture_input import PictureInput
from edgemill_core.row_input import RowInput
from edgemill_core.samples import Sample, Truth
from edgemill_core.tasks import Task
from edgemill_core.tensors import Array
from edgemill_core.verdict import Verdict
from edgemill_runtimes.engines import load
from edgemill_runtimes.frames import prepare, read_picture
from edgemill_runtimes.isolation import EngineProcess


def prepare_set(samples: Sequence[Sample], declared: PictureInput | RowInput) -> Array:
    """All samples of a set as engine inputs.

    Returns:
        ``uint8[samples, height, width, channels]``, or ``float64[samples, features]``.
    """
    if isinstance(declared, RowInput):
        return np.concatenate([_row(sample, declared) for sample in samples])
    return np.concatenate([prepare(read_picture(sample.picture), declared) for sample in samples])


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


def truths_of(samples: Sequence[Sample]) -> list[Truth]:
    """The labels of a set.

    Raises:
        DataError: a sample has none.
    """
    truths = [sample.truth for sample in samples if sample.truth is not None]
    if len(truths) != len(samples):
        raise DataError(
            "the judge needs labels",
            expected="data: judge: {labels: …}",
            got=f"{len(samples) - len(truths)} of {len(samples)} samples without a label",
            fix="label the pictures, or name a labelled set in the recipe",
        )
    return truths


def reference_outputs(
    baked: BakedModel, declared: PictureInput | RowInput, prepared: Array, progress: Callable[[str], None]
) -> Array:
    """Outputs of the untouched model, ``[samples, …]``: by its own library, or normalised on the host."""
    if baked.native is not None:
        return baked.native(prepared)
    if isinstance(declared, RowInput):
        raise TypeError("a model that takes rows is judged by its own library")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder, "reference.onnx")
        onnx.save(baked.reference, graph)
        with load("onnxruntime", graph) as engine:
            for index in range(len(prepared)):
                if index % 50 == 0:
                    progress(f"reference verdicts, {index} of {len(prepared)}")
                feeds = reference_feeds(baked, prepared[index : index + 1], declared)
                found.append(np.array(reference_output(baked, list(engine.run(feeds).values()))))
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
