"""Tasks: what a model is for. A new task is one new file here and one line in ``TASKS``."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from edgemill_core.errors import RecipeError
from edgemill_core.tasks.base import Task
from edgemill_core.tasks.market_risk import MarketRisk
from edgemill_core.tasks.text_recognition import TextRecognition
from edgemill_core.validation import first_complaint

TASKS: dict[str, type[Task]] = {
    "market-risk": MarketRisk,
    "text-recognition": TextRecognition,
}

__all__ = ["TASKS", "MarketRisk", "Task", "TextRecognition", "task_from"]


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
