"""From the imported model to the FP32 graph that every target starts from, and the reference to judge against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from edgemill_converters.importers import ImportedModel
from edgemill_converters.importers.base import Native
from edgemill_converters.passes.activate import Activate, activated
from edgemill_converters.passes.bake_input import BakeInput
from edgemill_converters.passes.base import Pass, Sequential, copy_of, only_output
from edgemill_converters.passes.detection_head import DetectionHead, detections_of
from edgemill_converters.passes.fix_shape import FixShape, picture_input
from edgemill_converters.passes.fold import Fold
from edgemill_converters.passes.select_classes import SelectClasses, text_classes
from edgemill_converters.passes.upgrade_opset import UpgradeOpset
from edgemill_core.errors import ModelError
from edgemill_core.picture_input import Colour, Layout, PictureInput
from edgemill_core.row_input import RowInput
from edgemill_core.tasks import ImageClassification, MarketRisk, ObjectDetection, Segmentation, Task, TextRecognition
from edgemill_core.tensors import Array

ByHand = Callable[[Sequence[Array]], Array]


@dataclass(frozen=True)
class TaskOutput:
    """How a model's own output becomes the one that the task reads.

    Attributes:
        passes: for the graph.
        by_hand: the same with the bare outputs of the untouched model, written anew, so that the reference owes
            nothing to our passes.
    """

    passes: tuple[Pass, ...]
    by_hand: ByHand


@dataclass(frozen=True)
class Given:
    """What a task's output is made from: the task, the model as it came and with its shape fixed, and its input."""

    task: Task
    model: ImportedModel
    shaped: onnx.ModelProto
    declared: PictureInput


def _text_output(given: Given) -> TaskOutput:
    task, model, shaped = given.task, given.model, given.shaped
    if not isinstance(task, TextRecognition):
        raise TypeError(f"not a text task: {task!r}")
    if model.classes is None:
        raise ModelError(
            "a text model needs its characters",
            expected="model: classes: the metadata key that lists them",
            got="no classes in the recipe",
            fix=f"the metadata has: {', '.join(p.key for p in model.proto.metadata_props) or 'nothing'}",
        )
    dims = shaped.graph.output[0].type.tensor_type.shape.dim
    size = dims[-1].dim_value if dims else 0
    indices = text_classes(task.alphabet, model.classes, size)
    return TaskOutput((SelectClasses(indices, task.output),), lambda outputs: np.asarray(outputs[0])[..., indices])


def _classes_output(given: Given) -> TaskOutput:
    task = given.task
    if not isinstance(task, (ImageClassification, Segmentation)):
        raise TypeError(f"not a task of classes along axis 1: {task!r}")
    output, rank = only_output(given.shaped), 2 if isinstance(task, ImageClassification) else 4
    shape = [dim.dim_value for dim in output.type.tensor_type.shape.dim]
    if len(shape) != rank or shape[1] not in (0, len(task.classes)):
        raise ModelError(
            f"the model does not give what task {task.name!r} reads",
            expected=f"[1, {len(task.classes)}{', height, width' if rank == 4 else ''}], one a class",
            got=f"{output.name}: {shape}",
            fix="name every class of the model under task: classes:, in its order",
        )
    head = task.head
    return TaskOutput((Activate(head, task.output),), lambda outputs: activated(head, outputs[0]))


def _detections(given: Given) -> TaskOutput:
    task = given.task
    if not isinstance(task, ObjectDetection):
        raise TypeError(f"not a detector: {task!r}")
    head, size = task.head, given.declared.size
    made = DetectionHead(head, len(task.classes), size, task.output)
    return TaskOutput((made,), lambda outputs: detections_of(head, outputs, size))


OUTPUTS: dict[str, Callable[[Given], TaskOutput]] = {
    "image-classification": _classes_output,
    "object-detection": _detections,
    "segmentation": _classes_output,
    "text-recognition": _text_output,
}
"""Per task: a new task adds one line here when its models do not already give what it reads."""


@dataclass(frozen=True)
class BakedModel:
    """The FP32 graph with everything baked in, and what is needed to run the untouched model beside it.

    Attributes:
        graph: takes ``picture: uint8[1, height, width, channels]`` or ``row: float64[1, features]``, gives the task's
            output.
        reference: the imported model with its input shape fixed and nothing else changed.
        by_hand: see ``TaskOutput``; ``None`` where the model's own library is the reference.
        steps: names of the passes that made ``graph``.
        native: the model's own library, which is the reference where there is one.
    """

    graph: onnx.ModelProto
    reference: onnx.ModelProto
    by_hand: ByHand | None
    steps: str
    native: Native | None = None


def bake(model: ImportedModel, declared: PictureInput | RowInput, task: Task) -> BakedModel:
    """Fix the shape, upgrade the opset, select the task's output, bake the input, fold.

    Raises:
        ModelError: the recipe does not fit the model.
        PassError: a pass failed.
    """
    if isinstance(declared, RowInput):
        return _bake_rows(model, task)
    if task.name not in OUTPUTS:
        raise ModelError(
            f"task {task.name!r} takes no pictures",
            expected="features: under input:",
            got="size: under input:",
            fix="mend input: or task: in the recipe",
        )
    reference = FixShape(declared)(model.proto)
    output = OUTPUTS[task.name](Given(task, model, reference, declared))
    chain = Sequential([UpgradeOpset(), *output.passes, BakeInput(declared), Fold()])
    graph = chain(reference)
    graph.ClearField("metadata_props")
    return BakedModel(graph, reference, output.by_hand, f"fix-shape → {chain.name}")


def _bake_rows(model: ImportedModel, task: Task) -> BakedModel:
    """Nothing is baked in: the graph takes the numbers as they are. Its output gets the task's name."""
    levels = len(task.levels) if isinstance(task, MarketRisk) else 0
    outputs = model.proto.graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    if outputs != levels:
        raise ModelError(
            f"the model does not give what task {task.name!r} reads",
            expected=f"{levels} outputs, one a level" if levels else "a model that takes pictures",
            got=f"{outputs} outputs",
            fix="name one model file per level, in the order of levels:",
        )
    graph = copy_of(model.proto)
    old = graph.graph.output[0].name
    graph.graph.output[0].name = task.output
    for node in graph.graph.node:
        node.output[:] = [task.output if name == old else name for name in node.output]
    return BakedModel(graph, model.proto, None, "trees in float64", model.native)


def reference_feeds(baked: BakedModel, prepared: Array, declared: PictureInput) -> dict[str, Array]:
    """Normalise on the host, as the author's own code would, so that the reference owes nothing to our baking.

    Args:
        prepared: ``uint8[1, height, width, channels]``, blue-green-red.
    """
    pixels = np.asarray(prepared, np.float32)
    if declared.colour is Colour.RGB:
        pixels = pixels[..., ::-1]
    normalised = (pixels - np.asarray(declared.normalise.mean, np.float32)) / np.asarray(
        declared.normalise.std, np.float32
    )
    if declared.layout is Layout.NCHW:
        normalised = normalised.transpose(0, 3, 1, 2)
    return {picture_input(baked.reference).name: np.ascontiguousarray(normalised, dtype=np.float32)}


def reference_output(baked: BakedModel, outputs: Sequence[Array]) -> Array:
    """The task's output, taken from the reference's bare outputs."""
    return np.asarray(outputs[0]) if baked.by_hand is None else baked.by_hand(outputs)
