"""Tasks: what a model is for. A new task is one new file here and one line in ``TASKS``."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from edgemill_core.errors import RecipeError
from edgemill_core.tasks.base import Task
from edgemill_core.tasks.classification import Classification, OneOfClasses
from edgemill_core.tasks.embedding import Embedding
from edgemill_core.tasks.image_classification import ImageClassification
from edgemill_core.tasks.market_risk import MarketRisk
from edgemill_core.tasks.object_detection import ObjectDetection
from edgemill_core.tasks.regression import Regression
from edgemill_core.tasks.segmentation import Segmentation
from edgemill_core.tasks.text_recognition import TextRecognition
from edgemill_core.validation import first_complaint

TASKS: dict[str, type[Task]] = {
    "classification": Classification,
    "embedding": Embedding,
    "image-classification": ImageClassification,
    "market-risk": MarketRisk,
    "object-detection": ObjectDetection,
    "regression": Regression,
    "segmentation": Segmentation,
    "text-recognition": TextRecognition,
}

FINDERS = (ObjectDetection, Segmentation)
"""Tasks that say where things are, so that another model may look closer."""

__all__ = [
    "FINDERS",
    "TASKS",
    "Classification",
    "Embedding",
    "ImageClassification",
    "MarketRisk",
    "ObjectDetection",
    "OneOfClasses",
    "Regression",
    "Segmentation",
    "Task",
    "TextRecognition",
    "task_from",
    "tuned",
]


def task_from(settings: Mapping[str, object]) -> Task:
    """Make the task that ``settings["name"]`` names.

    Raises:
        RecipeError: no such task, or a setting it does not know or cannot take.
    """
    name = settings.get("name")
    kind = TASKS.get(str(name))
    if kind is None:
        raise RecipeError(
            f"there is no task called {name!r}",
            expected=" | ".join(sorted(TASKS)),
            got=str(name),
            fix="name one of these under task: in the recipe",
        )
    try:
        return kind.model_validate(dict(settings))
    except ValidationError as error:
        where, complaint, got = first_complaint(error)
        raise RecipeError(
            f"task {name!r} cannot use setting {where!r}",
            expected=complaint,
            got=got,
            fix=f"the settings of this task are: {', '.join(kind.model_fields)}",
        ) from error


def tuned(task: Task, changes: Mapping[str, object]) -> Task:
    """The task with a box's own settings.

    Raises:
        RecipeError: one of them is not for a box to set, or has a value that the task cannot take.
    """
    fixed = sorted(set(changes) - set(task.tunable))
    if fixed:
        raise RecipeError(
            f"task {task.name!r} cannot be tuned so on a box",
            expected=" | ".join(task.tunable) or "no settings",
            got=", ".join(fixed),
            fix="mend `tune:` of the station; what else a task needs is in the recipe, and asks for a new bundle",
        )
    return task_from({**task.model_dump(mode="json"), **changes})
