"""Hugging Face models from a folder, through optimum; never from the hub, and never with code from the folder.

optimum-onnx 0.1 goes by PyTorch's old exporter, which the report says; its models are patched for it.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgemill_converters.importers.archives import refused
from edgemill_converters.importers.base import Imported, Native, named
from edgemill_converters.importers.cleaning import cleaned
from edgemill_converters.importers.torch_module import USUAL_OPSET
from edgemill_converters.importers.versions import readable_by
from edgemill_converters.passes.pool_tokens import PoolTokens, pooled
from edgemill_converters.recipe import Recipe
from edgemill_core.engine_input import AnyInput
from edgemill_core.errors import MissingPartError, ModelError
from edgemill_core.tensor_input import TensorInput
from edgemill_core.tensors import Array

_MASK = "attention_mask"
_TASKS = {
    "Model": "feature-extraction",
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForImageClassification": "image-classification",
    "ForObjectDetection": "object-detection",
    "ForSemanticSegmentation": "semantic-segmentation",
    "ForAudioClassification": "audio-classification",
}
"""optimum's tasks, by how the class of a model ends; it infers none of a folder itself."""


def import_transformers(paths: Sequence[Path], recipe: Recipe) -> Imported:
    """Import the model in a folder.

    Raises:
        MissingPartError: optimum or transformers is not installed.
        ModelError: no such folder, damaged, of code of its own, or nothing that optimum translates.
    """
    (folder,) = paths
    config = _config(folder)
    task = recipe.model.task or _task(folder, config)
    with _offline():
        tasks, export = _library()
        try:
            model = tasks.get_model_from_task(
                task, folder, framework="pt", library_name="transformers", local_files_only=True
            )
        except Exception as error:  # transformers and safetensors have no common root
            fix = "save the model again with save_pretrained; models with code of their own: give them by a function"
            raise refused(folder, f"a model for {task}", f"{type(error).__name__}: {error}", fix) from error
        outputs = _outputs(tasks, model, task, folder)
        if recipe.model.pooling is not None and (task != "feature-extraction" or not outputs):
            fix = "leave out pooling:, or write task: feature-extraction"
            raise refused(folder, "a task that gives a vector a token, for pooling:", task, fix)
    model.eval().float()
    made = _Export(export, model, task, outputs, recipe)
    return Imported(
        made.graph, made.native, named("transformers"), f"{named('optimum-onnx')} (by PyTorch's old exporter)"
    )


class _Export:
    """A loaded model, and its graph when that is asked for."""

    def __init__(self, export: Any, model: Any, task: str, outputs: Sequence[str], recipe: Recipe) -> None:
        self._export, self._model, self._task, self._outputs = export, model, task, tuple(outputs)
        self._pooling = recipe.model.pooling
        self._shapes = _shapes(recipe.input)
        self._opset = min(USUAL_OPSET, readable_by(recipe.targets).opset)

    def graph(self) -> onnx.ModelProto:
        """What optimum makes of it."""
        with _offline(), tempfile.TemporaryDirectory() as folder:
            try:
                how = {"opset": self._opset, "task": self._task, "monolith": True, "do_validation": False}
                self._export(self._model, folder, **how, **self._shapes)
                proto = onnx.load(Path(folder, "model.onnx"))
            except Exception as error:  # the exporter has no common root
                raise ModelError(
                    "optimum cannot translate the model to ONNX",
                    expected=f"a model of a kind that optimum exports for {self._task}",
                    got=f"{type(error).__name__}: {str(error).strip()[:400]}",
                    fix="name another task: under model:, or give the module by a function (model: {torch: …})",
                ) from error
        proto = cleaned(proto, self._outputs)
        return PoolTokens(self._pooling, self._outputs[0], _MASK)(proto) if self._pooling is not None else proto

    @property
    def native(self) -> Native:
        """The model itself; of what it gives, what optimum exports for the task."""
        import torch

        def native(feeds: Mapping[str, Array]) -> list[Array]:
            given = {name: torch.from_numpy(np.array(value)) for name, value in feeds.items()}
            with torch.inference_mode():
                found = self._model(**given)
            outputs = [np.array(found[name].numpy()) for name in self._outputs]
            return outputs if self._pooling is None else [pooled(self._pooling, outputs[0], feeds, _MASK)]

        return native


def _shapes(declared: AnyInput) -> dict[str, int]:
    """Of the example that is traced: optimum's own may be longer than a model has places."""
    tokens = declared.tensors.get("input_ids") if isinstance(declared, TensorInput) else None
    return {"sequence_length": tokens.shape[1]} if tokens is not None and len(tokens.shape) == 2 else {}


def _library() -> tuple[Any, Any]:
    try:
        from optimum.exporters.onnx import onnx_export_from_model
        from optimum.exporters.tasks import TasksManager
    except ImportError as error:
        raise MissingPartError(
            "a Hugging Face model needs optimum on the build machine",
            expected="the Python packages optimum-onnx and transformers",
            got=str(error),
            fix="pip install 'edgemill[transformers]'",
        ) from error
    return TasksManager, onnx_export_from_model


def _outputs(tasks: Any, model: Any, task: str, folder: Path) -> list[str]:
    try:
        made = tasks.get_exporter_config_constructor(
            "onnx", model=model, task=task, model_type=model.config.model_type, library_name="transformers"
        )
        return list(made(model.config).outputs)
    except (KeyError, ValueError) as error:
        fix = "name another task: under model:, or give the module by a function (model: {torch: …})"
        raise refused(folder, "a model of a kind that optimum exports", str(error), fix) from error


def _config(folder: Path) -> Mapping[str, Any]:
    path = folder / "config.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise refused(folder, "a folder that save_pretrained wrote, with config.json", str(error)) from error
    if not isinstance(found, dict):
        raise refused(path, "the configuration of a model", type(found).__name__)
    if "auto_map" in found:
        fix = "give the module by a function of your own: model: {torch: 'package.module:function'}"
        raise refused(path, "a model of a kind that transformers has", "auto_map: code in the folder", fix)
    return found


def _task(folder: Path, config: Mapping[str, Any]) -> str:
    kinds = [str(kind) for kind in config.get("architectures") or ()]
    for ending, task in reversed(_TASKS.items()):
        if kinds and kinds[0].endswith(ending):
            return task
    fix = "write task: under model:, e.g. feature-extraction or text-classification"
    raise refused(folder / "config.json", "architectures: that say what it is for", ", ".join(kinds) or "none", fix)


@contextmanager
def _offline() -> Iterator[None]:
    """Nothing is fetched, no pickle is opened, and the exporter may warn of its own insides."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "TORCH_FORCE_WEIGHTS_ONLY_LOAD"):
        os.environ[name] = "1"  # for good: this is a step's own process
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
