"""Where a recipe's trained model comes from."""

from __future__ import annotations

import re
from enum import Enum
from typing import Annotated

from pydantic import Field, model_validator

from edgemill_core.validation import Strict

FUNCTION = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
"""``package.module:function``."""
Function = Annotated[str, Field(pattern=FUNCTION)]
_SOURCES = ("file", "function", "torch", "transformers")


class TorchExporter(str, Enum):
    """Which of PyTorch's two translators to ONNX."""

    DYNAMO = "dynamo"
    TORCHSCRIPT = "torchscript"


class Pooling(str, Enum):
    """How a vector a token becomes one a text."""

    MEAN = "mean"
    FIRST = "first"


class ModelSource(Strict):
    """Where the trained model comes from; exactly one of ``file``, ``function``, ``torch``, ``transformers`` says so.

    Attributes:
        file: path, relative to the recipe, or to ``package`` if that is given. Several files of one kind make one
            model with one output column each, in this order. A TensorFlow SavedModel is a folder.
        function: ``package.module:function``, called without arguments in a step's own process; looked for in the
            recipe's folder first, then among what is installed. It gives a model of any kind that is imported, or
            the path of one that ``reads`` names.
        torch: such a function that gives a PyTorch module, which then gets ``weights``.
        transformers: folder of a Hugging Face model: its configuration, weights and tokenizer.
        weights: file of a state dict for the module of ``torch``, ``.safetensors`` or what ``torch.save`` wrote.
        task: what the model of ``transformers`` is for, in optimum's words; its configuration says so if ``None``.
        pooling: of a model of ``transformers`` that gives a vector a token, how they become one: their ``mean`` under
            the attention mask, or the ``first``.
        package: an installed Python package that ships the files; it is located, never imported.
        reads: further files and folders that the function reads, so that a change of one builds anew.
        classes: key of the model's own metadata that lists its classes, one a line.
        scaled_by: a feature that the outputs are multiplied by, where the model was trained on targets divided by it.
        output: the one output that the task reads, of a model that gives several.
        exporter: of PyTorch; the old one only where it is asked for.
        trust: pickles may be opened, which runs whatever code their author put there.
    """

    file: str | Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    function: Function | None = None
    torch: Function | None = None
    transformers: str | None = None
    weights: str | None = None
    task: str | None = None
    pooling: Pooling | None = None
    package: str | None = None
    reads: tuple[str, ...] = ()
    classes: str | None = None
    scaled_by: str | None = None
    output: str | None = None
    exporter: TorchExporter = TorchExporter.DYNAMO
    trust: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> ModelSource:
        if sum(getattr(self, name) is not None for name in _SOURCES) != 1:
            raise ValueError(f"name exactly one of: {', '.join(_SOURCES)}")
        for key, needs in (("weights", "torch"), ("task", "transformers"), ("pooling", "transformers")):
            if getattr(self, key) is not None and getattr(self, needs) is None:
                raise ValueError(f"{key}: goes with {needs}:")
        if self.reads and self.code is None:
            raise ValueError("reads: goes with function: or torch:")
        return self

    @property
    def files(self) -> tuple[str, ...]:
        """Names of what is opened: the files, the folder, or the weights; none of a function alone."""
        if isinstance(self.file, tuple):
            return self.file
        only = self.file or self.transformers or self.weights
        return (only,) if only is not None else ()

    @property
    def code(self) -> str | None:
        """The function that gives the model, if one does."""
        return self.function or self.torch

    @property
    def read_as(self) -> dict[str, object]:
        """What is said of the model beside where its files lie."""
        places = {"file", "transformers", "weights", "package", "reads"}
        return self.model_dump(mode="json", exclude=places)

    @property
    def is_onnx(self) -> bool:
        """Whether the graph is the model itself, and no translation of it."""
        return isinstance(self.file, str) and self.file.lower().endswith(".onnx")


def source_from(said: str) -> dict[str, str]:
    """The short form of ``model:``, a file or a function, in full."""
    return {"function": said} if re.match(FUNCTION, said) else {"file": said}
