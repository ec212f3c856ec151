"""Draw up the card of a model from what its build found out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgemill_converters.building.sources import Sources
from edgemill_converters.card_settings import CardSettings
from edgemill_converters.papers.licences import licence_of
from edgemill_converters.papers.sets import set_cards
from edgemill_converters.papers.tools import needed_on_box, parts, tools_used
from edgemill_converters.result import BuildResult, VariantResult
from edgemill_core.bundle import Card
from edgemill_core.bundle.card import JudgedCard, PartCard, SourceCard
from edgemill_core.engine_input import AnyInput
from edgemill_core.judgement import Judgement
from edgemill_core.picture_input import PictureInput
from edgemill_core.row_input import RowInput


def model_card(sources: Sources, result: BuildResult) -> Card:
    """The card of a bundle of one model, with what ships of ``result``."""
    recipe = sources.recipe
    shipped = [result.variant(name) for name in result.choice.shipped]
    sets = {"calibration": sources.calibration, "search": sources.search, "judge": sources.judge}
    task = sources.task.model_dump(mode="json")
    return Card(
        name=recipe.name,
        version=recipe.version,
        task=task,
        input=in_words(recipe.input),
        classes=tuple(task.get("classes", ())),
        **said_by_author(recipe.card, recipe.model.package),
        sets=set_cards({role: inputs.samples for role, inputs in sets.items()}, sources.digests),
        sources=_sources(sources),
        judged=tuple(_judged(variant, one) for variant in shipped for one in variant.ruling.judgements),
        stand_ins={variant.name: variant.stand_in for variant in shipped if variant.stand_in},
        tools=_tools(sources, result, shipped),
        needed={variant.name: needed_on_box(variant.runtime, recipe.input) for variant in shipped},
    )


def in_words(declared: AnyInput) -> str:
    """What a model takes, for people."""
    if isinstance(declared, PictureInput):
        width, height = declared.size
        return f"pictures, {width} x {height} pixels, {declared.colour.value}"
    if isinstance(declared, RowInput):
        return f"{len(declared.features)} numbers"
    return "tensors " + ", ".join(f"{name} {list(one.shape)}" for name, one in declared.tensors.items())


def said_by_author(settings: CardSettings, package: str | None = None) -> dict[str, Any]:
    """The keys of a card that the recipe fills; the licence is the package's where a package ships the model."""
    said: dict[str, Any] = settings.model_dump(mode="json", exclude={"licence"})
    own = settings.licence.model or (licence_of(package) if package else "")
    return {**said, "licence": own, "data_licence": settings.licence.data or ""}


def figure(value: float) -> float:
    """Six digits: what comes behind them is rounding, which another processor may do otherwise."""
    return float(f"{value:.6g}")


def _sources(sources: Sources) -> tuple[SourceCard, ...]:
    """The model's files. Of several their names are their place, since those that lie apart are known by content."""
    contents = sources.model_contents
    if len(contents) == 1:
        return (SourceCard(name=sources.model_file, digest=contents[0][1]),)
    return tuple(
        SourceCard(name=f"{sources.model_file}, {place} of {len(contents)}", digest=digest)
        for place, (_, digest) in enumerate(contents, 1)
    )


def _tools(sources: Sources, result: BuildResult, shipped: Sequence[VariantResult]) -> tuple[PartCard, ...]:
    package, how = sources.recipe.model.package, result.imported
    words = f"{how.framework} {how.exporter}" if how is not None else ""
    ran = [variant.runtime for variant in shipped if not variant.stand_in or variant.plan is not None]
    used = tools_used(words, sources.recipe.input, ran)
    return (*used, *(parts([package]) if package else ()))


def _judged(variant: VariantResult, one: Judgement) -> JudgedCard:
    return JudgedCard(
        variant=variant.name,
        metric=one.budget.metric,
        samples=one.counts.n,
        reference=figure(one.reference),
        value=figure(one.variant),
        bound=figure(one.drop_upper_bound),
        allowed=one.budget.max_drop,
        confidence=figure(one.confidence),
        floor=one.budget.floor,
    )
