"""Keep only the classes that the task can use, in the task's order and under the task's name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgemill_converters.passes.new_output import NewOutput
from edgemill_core.errors import ModelError


class SelectClasses(NewOutput):
    """Gather ``indices`` along the last axis of the model's one output, and call the result ``output``.

    The probabilities themselves are untouched. Promises an output of that name.
    """

    name = "select-classes"

    def __init__(self, indices: Sequence[int], output: str) -> None:
        self._indices = np.asarray(indices, np.int64)
        self._output = output

    def _node(self, graph: onnx.GraphProto, old: str) -> onnx.NodeProto:
        graph.initializer.append(numpy_helper.from_array(self._indices, "edgemill_classes"))
        return helper.make_node("Gather", [old, "edgemill_classes"], [self._output], "edgemill_select", axis=-1)


def text_classes(alphabet: str, vocabulary: Sequence[str], classes: int) -> list[int]:
    """Indices of the blank and of each character of ``alphabet`` in a CTC model's output.

    PaddleOCR's order is assumed: class 0 is the blank, then the vocabulary, then (where the output has one class
    more) the space.

    Args:
        alphabet: characters to keep.
        vocabulary: the model's characters.
        classes: size of the model's last axis.

    Raises:
        ModelError: the vocabulary does not fit the output, or lacks a character.
    """
    table = {character: index for index, character in enumerate(vocabulary, start=1)}
    if classes == len(vocabulary) + 2:
        table[" "] = classes - 1
    elif classes != len(vocabulary) + 1:
        raise ModelError(
            "the vocabulary does not fit the model's output",
            expected=f"{classes - 1} or {classes - 2} characters",
            got=f"{len(vocabulary)} characters",
            fix="mend model: classes: in the recipe",
        )
    missing = [character for character in alphabet if character not in table]
    if missing:
        raise ModelError(
            "the model cannot read every character of the alphabet",
            expected=" ".join(alphabet),
            got=f"no class for: {' '.join(map(repr, missing))}",
            fix="remove these characters from task: alphabet: in the recipe",
        )
    return [0, *(table[character] for character in alphabet)]
