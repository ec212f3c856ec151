"""The recipe of a chain: which bundles follow one another, and how often their end verdict may be wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, field_validator

from edgemill_converters.card_settings import CardSettings
from edgemill_converters.data_source import DataSource
from edgemill_converters.recipe import Folder, wrong
from edgemill_core.chain import Stage, check_order
from edgemill_core.errors import RecipeError
from edgemill_core.rate_budget import RateBudget
from edgemill_core.validation import Strict, first_complaint
from edgemill_core.yaml_lines import read_yaml


class StageSource(Stage):
    """A stage, and the bundle that its model comes from: a folder, relative to the recipe."""

    bundle: str

    @property
    def stage(self) -> Stage:
        """As it stands in the manifest."""
        return Stage.model_validate(self.model_dump(exclude={"bundle"}))


class ChainData(Strict):
    """The judge's set, labelled for the whole chain."""

    judge: DataSource

    @field_validator("judge")
    @classmethod
    def _of_the_whole(cls, judge: DataSource) -> DataSource:
        reader, _, _ = judge.reader
        if reader in ("coco", "yolo", "voc"):
            raise ValueError(
                f"a set with labels:, because boxes ({reader}:) belong to one stage's task, whose classes and sizes "
                "say what is bad; a chain is judged on whether the whole part is good: write labels: with a column good"
            )
        return judge


class ChainRecipe(Folder):
    """What is needed to build a chain.

    Attributes:
        chain: its stages, in order.
        budget: how often the end verdict may be wrong.
        runtimes: those to build for; all that every stage's bundle has, if none is named.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    chain: Annotated[tuple[StageSource, ...], Field(min_length=2)]
    data: ChainData
    budget: tuple[RateBudget, ...]
    runtimes: tuple[str, ...] = ()
    card: CardSettings = CardSettings()

    @field_validator("chain")
    @classmethod
    def _in_order(cls, chain: tuple[StageSource, ...]) -> tuple[StageSource, ...]:
        check_order(chain)
        return chain

    @field_validator("budget")
    @classmethod
    def _both(cls, budget: tuple[RateBudget, ...]) -> tuple[RateBudget, ...]:
        if sorted(one.metric for one in budget) != ["escape_rate", "overkill_rate"]:
            raise ValueError("escape_rate and overkill_rate, each once: what rejects everything has no escapes")
        return budget

    @field_validator("runtimes")
    @classmethod
    def _each_once(cls, runtimes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(runtimes)) != len(runtimes):
            raise ValueError("each runtime once")
        return runtimes


def is_chain(path: Path) -> bool:
    """Whether the recipe is a chain's.

    Raises:
        RecipeError: it cannot be read.
    """
    return "chain" in read_yaml(path, "recipe", RecipeError)[0]


def read_chain_recipe(path: Path) -> ChainRecipe:
    """Read and check a chain's recipe.

    Raises:
        RecipeError: unreadable, an unknown or missing key, a value out of range, or stages that cannot follow one
            another; the message names file and line.
    """
    raw, lines = read_yaml(path, "recipe", RecipeError)
    if "folder" in raw:
        raise wrong(path, lines, "folder", "no such key here", "folder", ChainRecipe)
    try:
        return ChainRecipe.model_validate({**raw, "folder": path.resolve().parent})
    except ValidationError as error:
        raise wrong(path, lines, *first_complaint(error), ChainRecipe) from error
