"""From the imported model to the graph that every target starts from, and the reference to judge against."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from edgemill_converters.importers import ImportedModel
from edgemill_converters.importers.base import Native
from edgemill_converters.importers.versions import Readable
from edgemill_converters.passes.activate import Activate, activated
from edgemill_converters.passes.bake_input import BakeInput
from edgemill_converters.passes.bake_tensors import BakeTensors, element_type
from edgemill_converters.passes.base import Pass, Sequential, model_inputs, only_output
from edgemill_converters.passes.detection_head import DetectionHead, detections_of
from edgemill_converters.passes.fit_versions import FitVersions
from edgemill_converters.passes.fix_shape import FixShape, picture_input
from edgemill_converters.passes.fix_shapes import FixShapes
from edgemill_converters.passes.fold import Fold
from edgemill_converters.passes.name_output import NameOutput
from edgemill_converters.passes.normalise import Normalise, normalised
from edgemill_converters.passes.select_classes import SelectClasses, text_classes
from edgemill_converters.passes.upgrade_opset import UpgradeOpset
from edgemill_core.engine_input import AnyInput
from edgemill_core.errors import ModelError
from edgemill_core.picture_input import Colour, Layout, PictureInput
from edgemill_core.row_input import RowInput
from edgemill_core.tasks import (
    MarketRisk,
    ObjectDetection,
    OneOfClasses,
    Regression,
    Segmentation,
    Task,
    TextRecognition,
)
from edgemill_core.tensor_input import TensorInput
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
    declared: AnyInput


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
    if not isinstance(task, (OneOfClasses, Segmentation)):
        raise TypeError(f"not a task of classes along axis 1: {task!r}")
    rank = 4 if isinstance(task, Segmentation) else 2
    fix = "name every class of the model under task: classes:, in its order"
    _check_output(given, rank, len(task.classes), "one a class", fix)
    head = task.head
    return TaskOutput((Activate(head, task.output),), lambda outputs: activated(head, outputs[0]))


def _values_output(given: Given) -> TaskOutput:
    task = given.task
    if not isinstance(task, Regression):
        raise TypeError(f"not a task of values: {task!r}")
    _check_output(given, 2, len(task.values), "one a value", "name every output of the model under task: values:")
    return TaskOutput((NameOutput(task.output),), first_output)


def _vector_output(given: Given) -> TaskOutput:
    _check_output(given, 2, 0, "one vector", "pool what stands for several places or tokens into one vector")
    return TaskOutput((Normalise(given.task.output),), lambda outputs: normalised(np.asarray(outputs[0])))


def _levels_output(given: Given) -> TaskOutput:
    task = given.task
    if not isinstance(task, MarketRisk):
        raise TypeError(f"not a task of quantiles: {task!r}")
    fix = "name one model file per level, in the order of levels:"
    _check_output(given, 2, len(task.levels), "one a level", fix)
    return TaskOutput((NameOutput(task.output),), first_output)


def first_output(outputs: Sequence[Array]) -> Array:
    """By hand, where the model already gives what the task reads."""
    return np.asarray(outputs[0])


def _check_output(given: Given, rank: int, count: int, each: str, fix: str) -> None:
    """``count`` 0 stands for any number."""
    output = only_output(given.shaped)
    shape = [dim.dim_value for dim in output.type.tensor_type.shape.dim]
    if len(shape) != rank or (count and shape[1] not in (0, count)):
        raise ModelError(
            f"the model does not give what task {given.task.name!r} reads",
            expected=f"[1, {count or 'n'}{', height, width' if rank == 4 else ''}], {each}",
            got=f"{output.name}: {shape}",
            fix=fix,
        )


def _detections(given: Given) -> TaskOutput:
    task = given.task
    if not isinstance(task, ObjectDetection) or not isinstance(given.declared, PictureInput):
        raise TypeError(f"not a detector: {task!r}")
    head, size = task.head, given.declared.size
    made = DetectionHead(head, len(task.classes), size, task.output)
    return TaskOutput((made,), lambda outputs: detections_of(head, outputs, size))


OUTPUTS: dict[str, Callable[[Given], TaskOutput]] = {
    "classification": _classes_output,
    "embedding": _vector_output,
    "image-classification": _classes_output,
    "market-risk": _levels_output,
    "object-detection": _detections,
    "regression": _values_output,
    "segmentation": _classes_output,
    "text-recognition": _text_output,
}
"""One line a task."""


@dataclass(frozen=True)
class BakedModel:
    """The graph with everything baked in, and what is needed to run the untouched model beside it.

    Attributes:
        graph: takes ``picture: uint8[1, height, width, channels]``, ``row: float64[1, features]`` or
            ``tensors: float32 | int64[1, values]``, and gives the task's output.
        reference: the imported model with its input shapes fixed and nothing else changed.
        by_hand: see ``TaskOutput``.
        steps: names of the passes that made ``graph``.
        native: the model's own library, which is the reference where there is one.
    """

    graph: onnx.ModelProto
    reference: onnx.ModelProto
    by_hand: ByHand
    steps: str
    native: Native | None = None


def bake(model: ImportedModel, declared: AnyInput, task: Task, readable: Readable | None = None) -> BakedModel:
    """Fix the shapes, upgrade the opset, make the task's output, bake the input, fold, bring the versions down.

    Args:
        readable: by the runtimes that the graph is for; any version if ``None``.

    Raises:
        ModelError: the recipe does not fit the model.
        PassError: a pass failed.
    """
    fix_shape = _fix_shape(model.proto, declared)
    reference = fix_shape(model.proto)
    output = OUTPUTS[task.name](Given(task, model, reference, declared))
    fitted = [FitVersions(readable)] if readable is not None else []
    chain = Sequential([*_around(reference, output, declared), *fitted])
    graph = chain(reference)
    graph.ClearField("metadata_props")
    return BakedModel(graph, reference, output.by_hand, f"{fix_shape.name} → {chain.name}", model.native)


def _fix_shape(proto: onnx.ModelProto, declared: AnyInput) -> Pass:
    if isinstance(declared, PictureInput):
        return FixShape(declared)
    inputs = model_inputs(proto)
    if isinstance(declared, RowInput):
        return FixShapes({value.name: (1, len(declared.features)) for value in inputs[:1]})
    own = {value.name: tuple(d.dim_value or 1 for d in value.type.tensor_type.shape.dim) for value in inputs}
    fixed = {name: own.get(name, ()) for name in declared.fixed}
    _check_fixed(declared, {value.name: value for value in inputs}, fixed)
    return FixShapes({**{name: one.shape for name, one in declared.tensors.items()}, **fixed})


def _check_fixed(
    declared: TensorInput, inputs: Mapping[str, onnx.ValueInfoProto], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Refuse values that do not fit the inputs that they are fixed for; unknown names are refused with the others."""
    for name, value in declared.fixed.items():
        if name not in inputs:
            continue
        kind = element_type(inputs[name])
        try:
            given = np.asarray(value)
            with np.errstate(all="ignore"):
                own = np.broadcast_to(given, shapes[name]).astype(kind)
            fits = (
                bool(np.isfinite(own).all())
                if kind.kind == "f"
                else np.array_equal(own, np.broadcast_to(given, own.shape))
            )
        except (ValueError, TypeError):
            fits = False
        if not fits:
            raise ModelError(
                f"the value that the recipe fixes for {name!r} does not fit the model",
                expected=f"{kind.name}{list(shapes[name])}, or one number for all of it",
                got=str(value)[:100],
                fix="mend input: fixed: in the recipe",
            )


def _around(reference: onnx.ModelProto, output: TaskOutput, declared: AnyInput) -> Sequence[Pass]:
    """The passes between the model with its shapes fixed and the graph.

    What computes in float64 is exact to the last bit as it was imported; nothing is fused there.
    """
    if isinstance(declared, PictureInput):
        return (UpgradeOpset(), *output.passes, BakeInput(declared), Fold())
    exact = isinstance(declared, RowInput) and of_float64(reference)
    order = declared.names if isinstance(declared, TensorInput) else tuple(v.name for v in model_inputs(reference))
    baked = (
        BakeTensors("tensors", declared.dtype, order, declared.fixed)
        if isinstance(declared, TensorInput)
        else BakeTensors("row", "float64", order)
    )
    return (*output.passes, baked) if exact else (UpgradeOpset(), *output.passes, baked, Fold())


def of_float64(model: onnx.ModelProto) -> bool:
    """Whether it computes in float64: trees that were trained so, for instance."""
    return any(value.type.tensor_type.elem_type == onnx.TensorProto.DOUBLE for value in model.graph.output)


def reference_feeds(baked: BakedModel, prepared: Array, declared: AnyInput) -> dict[str, Array]:
    """What the untouched model takes, made on the host, so that the reference owes nothing to our baking.

    Args:
        prepared: an engine's input. A picture is normalised as the author's own code would do it. Of rows there may be
            several at once.
    """
    if isinstance(declared, PictureInput):
        return _picture_feeds(baked, prepared, declared)
    inputs = {value.name: value for value in model_inputs(baked.reference)}
    if isinstance(declared, RowInput):
        return {name: prepared.astype(element_type(value)) for name, value in inputs.items()}
    given: dict[str, Array] = {**declared.apart(prepared)}
    for name, value in declared.fixed.items():
        shape = [dim.dim_value for dim in inputs[name].type.tensor_type.shape.dim]
        given[name] = np.broadcast_to(np.asarray(value), shape)
    return {name: np.array(given[name], element_type(value), order="C") for name, value in inputs.items()}


def _picture_feeds(baked: BakedModel, prepared: Array, declared: PictureInput) -> dict[str, Array]:
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
    return baked.by_hand(outputs)
