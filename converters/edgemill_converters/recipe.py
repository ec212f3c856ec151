"""The recipe: what to build, from what, for which boxes, within which budget."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo

from edgemill_converters.card_settings import CardSettings
from edgemill_converters.data_source import DataSource
from edgemill_converters.gates import Gates
from edgemill_converters.model_source import ModelSource, source_from
from edgemill_converters.precisions import PRECISIONS, precision_for
from edgemill_converters.quantization.settings import Quantization
from edgemill_converters.searching.settings import Search, short_form
from edgemill_converters.targets import Target
from edgemill_core.budget import Budget, budgets_by_metric
from edgemill_core.engine_input import AnyInput, EngineInput, said
from edgemill_core.errors import DataError, RecipeError
from edgemill_core.metrics import MEAN_AVERAGE_PRECISION, family_of, metric_named
from edgemill_core.picture_input import PictureInput
from edgemill_core.row_input import RowInput
from edgemill_core.tasks import Task, task_from
from edgemill_core.validation import Strict, first_complaint
from edgemill_core.yaml_lines import Lines, line_of, read_yaml
from edgemill_runtimes.engines import runtime_names


class Objective(str, Enum):
    """What "best" means among the variants inside the budget."""

    LATENCY_P50 = "latency_p50"
    LATENCY_P99 = "latency_p99"


class DataSets(Strict):
    """The sets, which must not share a sample.

    Attributes:
        calibration: for the ranges of INT8; labels are not needed.
        search: labelled, for choices between variants before the judge sees one.
        judge: labelled, for the budget alone.
    """

    calibration: DataSource | None = None
    search: DataSource | None = None
    judge: DataSource


class Folder(Strict):
    """What lies in a recipe's folder is named relative to it."""

    folder: Path

    def path(self, name: str) -> Path:
        """``name`` relative to the recipe's folder."""
        return self.folder / name


class Recipe(Folder):
    """What a build needs to know. Paths are relative to ``folder``."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    task: dict[str, Any]
    card: CardSettings = CardSettings()
    model: ModelSource
    input: EngineInput
    data: DataSets
    budget: Annotated[tuple[Budget, ...], Field(min_length=1)]
    targets: Annotated[tuple[Target, ...], Field(min_length=1)]
    objective: Objective = Objective.LATENCY_P50
    quantization: Quantization = Quantization()
    gates: Gates = Gates()
    search: Annotated[Search | None, BeforeValidator(short_form)] = None

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, raw: Any) -> Any:
        if isinstance(raw, dict):
            raw = dict(raw)
            if isinstance(raw.get("model"), str):
                raw["model"] = source_from(raw["model"])
            if isinstance(raw.get("task"), str):
                raw["task"] = {"name": raw["task"]}
        return raw

    @field_validator("input")
    @classmethod
    def _normalise_fits(cls, declared: AnyInput) -> AnyInput:
        for key in ("mean", "std") if isinstance(declared, PictureInput) else ():
            assert isinstance(declared, PictureInput)
            numbers = len(getattr(declared.normalise, key))
            if numbers not in (1, declared.channels):
                fit = "1 number" if declared.channels == 1 else f"1 or {declared.channels} numbers"
                raise ValueError(f"normalise: {key} takes {fit}, not {numbers}")
        return declared

    @field_validator("targets")
    @classmethod
    def _each_once(cls, targets: tuple[Target, ...]) -> tuple[Target, ...]:
        _check_away(targets)
        names = [f"{target.name}-{precision}" for target in targets for precision in target.precisions]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"each variant once; asked for twice: {', '.join(doubled)}")
        return targets

    @model_validator(mode="after")
    def _belong_together(self) -> Recipe:
        rows = isinstance(self.input, RowInput)
        fitting = [one.name for one in PRECISIONS.values() if rows or not one.of_float64]
        for target in self.targets:
            if set(target.precisions) - set(fitting):
                raise ValueError(
                    f"precisions of a model that takes {said(self.input)}: {', '.join(fitting)}; "
                    "write them under targets:"
                )
        if self.data.judge.function is None and (self.data.judge.rows is not None) != rows:
            raise ValueError(
                "rows: under data: goes with features: under input:, and other sets with size: or tensors:"
            )
        if self.needs_calibration and self.data.calibration is None:
            trees = "; trees that compute in float64 need precisions: [fp64] under targets:" if rows else ""
            raise ValueError(f"INT8 needs data: calibration:{trees}")
        key = "fallback:" if self.quantization.fallback is not None else "search:"
        away = [target.name for target in self.targets if not target.runs_here and "int8" in target.precisions]
        if self.searches and away:
            raise ValueError(
                f"{key} compares times that are measured here, and nothing of {away[0]} runs here: build that target "
                f"by a recipe of its own, or leave out {key}"
            )
        if self.searches and not self.needs_calibration:
            raise ValueError(
                f"{key} looks for forms of INT8, and no target asks for int8: add it to precisions: under targets:, "
                f"or leave out {key}"
            )
        if self.searches and self.data.search is None:
            raise ValueError(
                f"{key} needs labelled samples of its own under data: search:, because a choice made on the judge's "
                f"would void the judge's word; or leave out {key}"
            )
        return self

    @property
    def needs_calibration(self) -> bool:
        """Whether a target asks for a precision that does."""
        return any(PRECISIONS[name].calibrated for target in self.targets for name in target.precisions)

    @property
    def searches(self) -> bool:
        """Whether anything is chosen on the search set."""
        return self.search is not None or self.quantization.fallback is not None

    def make_task(self) -> Task:
        """The task, with its settings checked."""
        return task_from(self.task)


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        RecipeError: unreadable, an unknown or missing key, a value out of range, or a metric that the task does
            not have; the message names file and line.
    """
    raw, lines = read_yaml(path, "recipe", RecipeError)
    if "chain" in raw:
        raise RecipeError(
            f"{path} is the recipe of a chain",
            expected="a recipe of one model",
            got="chain:",
            fix="build it with `edgemill build`, or edgemill.build_chain",
        )
    if "folder" in raw:
        raise wrong(path, lines, "folder", "no such key here", "folder")
    try:
        recipe = Recipe.model_validate({**raw, "folder": path.resolve().parent})
    except ValidationError as error:
        raise wrong(path, lines, *first_complaint(error)) from error
    for index, target in enumerate(recipe.targets):
        _check_precisions(target, f"{path}, line {line_of(lines, f'targets.{index}.precisions')}")
    try:
        task = recipe.make_task()
        _check_budget(recipe, task)
    except (RecipeError, DataError) as error:
        where = f"{path}, line {line_of(lines, 'budget' if 'budget' in error.what else 'task')}"
        raise RecipeError(f"{where}: {error.what}", expected=error.expected, got=error.got, fix=error.fix) from error
    return recipe


def wrong(path: Path, lines: Lines, where: str, expected: str, got: str, form: type[BaseModel] = Recipe) -> RecipeError:
    """A complaint about the dotted key ``where``, with its line and the keys that ``form`` knows there."""
    line = line_of(lines, where)
    parent = where.rpartition(".")[0]
    siblings = _known_keys(parent, form)
    return RecipeError(
        f"{path}{f', line {line}' if line else ''}: wrong at {where!r}",
        expected=expected,
        got=got,
        fix=f"keys known here: {', '.join(siblings)}" if siblings else "mend the recipe and run again",
    )


def _known_keys(parent: str, form: type[BaseModel]) -> list[str]:
    """Keys that may stand under the dotted key ``parent``, or none if that is no mapping of ours."""
    models: list[type[BaseModel]] = [form]
    for part in filter(None, parent.split(".")):
        if not part.isdigit():
            found = [model.model_fields[part] for model in models if part in model.model_fields]
            models = [model for field in found for model in _models_in(field.annotation)]
    fields = [(name, field) for model in models for name, field in _written_fields(model).items()]
    return [field.alias or name for name, field in fields]


def _written_fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Without the recipe's own folder, which nobody writes."""
    return {n: f for n, f in model.model_fields.items() if n != "folder" or not issubclass(model, Folder)}


def _models_in(annotation: object) -> list[type[BaseModel]]:
    kinds = [annotation, *(getattr(kind, "__origin__", kind) for kind in getattr(annotation, "__args__", ()))]
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _check_away(targets: Sequence[Target]) -> None:
    """A box tells the variants of a bundle apart by their runtime; which of two devices one is for, it cannot ask."""
    for runtime in {target.runtime: None for target in targets if not target.runs_here}:
        own = [target.name for target in targets if target.runtime == runtime]
        if len(own) > len(set(own)):
            raise ValueError(f"one target a device, with all its compute capabilities; there are two {own[0]}")
        if len(own) > 1:
            raise ValueError(
                f"one device of a runtime of NVIDIA's, by whose name alone a box finds its variant; there are "
                f"{' and '.join(own)}: build each by a recipe of its own"
            )


def _check_precisions(target: Target, where: str) -> None:
    if target.runs_here and target.runtime not in runtime_names():
        return  # the build says so, with those that there are
    try:
        for name in target.precisions:
            precision_for(name, target.runtime)
    except RecipeError as error:
        raise RecipeError(f"{where}: {error.what}", expected=error.expected, got=error.got, fix=error.fix) from error


def _check_classes(metrics: Sequence[str], task: Task) -> None:
    known = getattr(task, "classes", ())
    unknown = [name for name in metrics if (of := metric_named(name).of_class) and of not in known]
    if unknown:
        raise RecipeError(
            "the budget is about a class that the task does not have",
            expected=" | ".join(known),
            got=", ".join(unknown),
            fix="behind the @ stands a class as under task: classes:",
        )


def _check_budget(recipe: Recipe, task: Task) -> None:
    if said(recipe.input) not in task.takes:
        raise RecipeError(
            f"task {task.name!r} takes no {said(recipe.input)}",
            expected=" or ".join(task.takes),
            got=f"{said(recipe.input)}, by input:",
            fix="mend input: or task: in the recipe",
        )
    table = budgets_by_metric(recipe.budget)
    maps = MEAN_AVERAGE_PRECISION in task.metrics
    unknown = [metric for metric in table if family_of(metric) not in task.metrics]
    if unknown:
        raise RecipeError(
            f"the budget names a metric that task {task.name!r} does not have",
            expected=" | ".join(task.metrics),
            got=", ".join(unknown),
            fix="name metrics of this task under budget:"
            + (f"; in {MEAN_AVERAGE_PRECISION}, IoU is e.g. 0.5 or 0.5:0.95" if maps else "")
            + ("; f1@CLASS, precision@CLASS and recall@CLASS are of one class" if "f1" in task.metrics else ""),
        )
    _check_classes(list(table), task)
    floored = [b.metric for b in recipe.budget if b.floor is not None and metric_named(b.metric).is_loss]
    if floored:
        raise RecipeError(
            "the budget sets a floor for a loss",
            expected="a floor only for a rate, which is a share of samples",
            got=", ".join(floored),
            fix="remove floor: there; max_drop: is the share by which the loss may grow",
        )
    pair = {"escape_rate", "overkill_rate"}
    if len(pair & set(table)) == 1:
        raise RecipeError(
            "the budget judges escapes without overkill, or overkill without escapes",
            expected="both, because a variant that rejects everything has no escapes",
            got=", ".join(table),
            fix=f"add `- {{metric: {(pair - set(table)).pop()}, max_drop: …}}` under budget:",
        )
