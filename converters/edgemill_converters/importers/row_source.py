"""A model of rows beside its recipe: what every importer of such models asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from edgemill_converters.importers.graph_writer import ML
from edgemill_converters.recipe import Recipe
from edgemill_core.errors import ModelError
from edgemill_core.row_input import RowInput
from edgemill_core.tasks import OneOfClasses


@dataclass(frozen=True)
class RowSource:
    """Where a model of rows comes from.

    Attributes:
        where: its file, or ``package.module:function``.
        kind: e.g. ``an XGBoost model``, for messages.
        recipe: that names it.
    """

    where: str
    kind: str
    recipe: Recipe

    @classmethod
    def of_object(cls, model: object, kind: str, recipe: Recipe) -> RowSource:
        """Of a model in memory: what the function gave, or what the file held."""
        code = recipe.model.code
        place = f"what {code} gives" if code is not None else ", ".join(recipe.model.files)
        return cls(f"{place} ({type(model).__name__})", kind, recipe)

    def refused(self, expected: str, got: str, fix: str) -> ModelError:
        """An error that names the model."""
        return ModelError(f"{self.where} cannot be imported as {self.kind}", expected=expected, got=got, fix=fix)

    @property
    def declared(self) -> RowInput:
        """The recipe's features.

        Raises:
            ModelError: it declares something else.
        """
        if not isinstance(self.recipe.input, RowInput):
            raise self.refused(
                "features: under input:", "another input in the recipe", "name the model's columns under features:"
            )
        return self.recipe.input

    @property
    def classifies(self) -> bool:
        """Whether the task names classes."""
        return isinstance(self.recipe.make_task(), OneOfClasses)

    def check_features(self, names: Sequence[str], count: int) -> None:
        """Refuse a model of other columns than the recipe's.

        Args:
            names: as the model was trained with; none if it knows no names.
            count: how many it takes.

        Raises:
            ModelError: other names or another order, or another number of them.
        """
        declared = self.declared.names
        if names and tuple(names) != declared:
            raise self.refused(f"features {', '.join(names)}", ", ".join(declared), "write them so under input:")
        if count != len(declared):
            raise self.refused(
                f"{count} features", f"{len(declared)}: {', '.join(declared)}", "write them so under input:"
            )

    def check_classes(self, count: int, names: Sequence[object] = ()) -> None:
        """Refuse a task that does not read the probabilities that the model gives.

        Args:
            count: of classes.
            names: what the model calls them; numbers are no names.

        Raises:
            ModelError: a task without classes, other classes or another number of them, or a head that would put a
                softmax behind probabilities.
        """
        task = self.recipe.make_task()
        if not isinstance(task, OneOfClasses):
            raise self.refused(
                "a task of classes, as the model gives probabilities",
                f"task {task.name!r}",
                "write task: {name: classification, head: probabilities, …}",
            )
        if task.head != "probabilities":
            raise self.refused(
                "head: probabilities under task:, which is what the model gives",
                f"head: {task.head}",
                "add head: probabilities under task: in the recipe",
            )
        said = tuple(name for name in names if isinstance(name, str))
        if len(task.classes) != count or (said and said != task.classes):
            raise self.refused(
                f"{count} classes{': ' if said else ''}{', '.join(said)}",
                f"{len(task.classes)}: {', '.join(task.classes)}",
                "name every class of the model under task: classes:, in its order",
            )

    def check_runtimes(self, proto: onnx.ModelProto) -> None:
        """Refuse a target whose runtime does not have the graph's operators: OpenVINO has none of ``ai.onnx.ml``.

        Raises:
            ModelError: naming them.
        """
        foreign = sorted({node.op_type for node in proto.graph.node if node.domain == ML})
        if foreign and any(target.runtime == "openvino" for target in self.recipe.targets):
            raise self.refused(
                "runtimes that have ai.onnx.ml's operators",
                f"openvino, which has no {', '.join(foreign)}",
                "name onnxruntime under targets: in the recipe",
            )

    def check_alone(self) -> None:
        """Refuse what goes only with models of one number that may be several files.

        Raises:
            ModelError: the recipe says ``scaled_by``.
        """
        if self.recipe.model.scaled_by is not None:
            raise self.refused(
                "a model that gives what is wanted itself", "scaled_by: under model:", "leave out scaled_by:"
            )
