"""A build's part in the search for mixed precision: one search per INT8 target, and the candidates that come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from edgemill_converters.bake import BakedModel
from edgemill_converters.candidates import ExtraVariant
from edgemill_converters.quantization.fallback import find_fallback, search_set
from edgemill_converters.quantization.fallback_found import FallbackFound
from edgemill_converters.quantization.plan import Plan
from edgemill_converters.quantization.settings import Fallback
from edgemill_converters.recipe import Recipe
from edgemill_core.samples import Sample

LABEL = "mixed"
"""A candidate's name is that of its INT8, and this behind it."""


def fallbacks(
    recipe: Recipe,
    baked: BakedModel,
    plan: Plan,
    settings: Fallback,
    samples: Sequence[Sample],
    memory: Path,
    progress: Callable[[str], None],
) -> tuple[FallbackFound, ...]:
    """What the search found for each INT8 target.

    Args:
        samples: the search set.
        memory: folder for notes, from which a search that was killed goes on.

    Raises:
        DataError: the search set has no labels.
    """
    task = recipe.make_task()
    search = search_set(baked, recipe.input, task, samples, recipe.budget, progress)
    return tuple(
        find_fallback(baked, plan, target, search, task, recipe.budget, settings, memory, progress)
        for target in recipe.targets
        if "int8" in target.precisions
    )


def mixed_variants(recipe: Recipe, found: Sequence[FallbackFound]) -> Iterator[ExtraVariant]:
    """A candidate for each target where the search found a mix."""
    places = {target.name: place for place, target in enumerate(recipe.targets) if "int8" in target.precisions}
    for one in found:
        if one.plan is not None:
            mix = one.plan
            why = f"{len(one.kept_float)} of {len(one.layers)} layers left in float"
            yield ExtraVariant(LABEL, places[one.target], lambda _, mix=mix: mix, why)  # type: ignore[misc]
