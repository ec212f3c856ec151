"""The bundles that a chain is made of: opened, and refused where they do not fit together."""

from __future__ import annotations

from collections.abc import Sequence

from edgemill_converters.chaining.recipe import ChainRecipe, StageSource
from edgemill_core.bundle import Bundle, open_bundle
from edgemill_core.chain import check_tasks
from edgemill_core.engine_input import said
from edgemill_core.errors import BundleError, RecipeError
from edgemill_core.picture_input import PictureInput


def open_sources(recipe: ChainRecipe) -> tuple[Bundle, ...]:
    """Each stage's bundle, verified.

    Raises:
        RecipeError: no bundle there, a chain or a model that takes numbers, or a stage that asks a finder for what it
            cannot find.
        BundleError: one of them is damaged.
    """
    bundles = tuple(_open(recipe, source) for source in recipe.chain)
    tasks = {source.name: bundle.task for source, bundle in zip(recipe.chain, bundles, strict=True)}
    try:
        check_tasks(recipe.chain, tasks)
    except ValueError as error:
        raise RecipeError(
            f"the chain of {recipe.name} does not fit its bundles",
            expected="crops of a detector or segmenter, of classes that it has",
            got=str(error),
            fix="mend chain: in the recipe",
        ) from error
    return bundles


def _open(recipe: ChainRecipe, source: StageSource) -> Bundle:
    try:
        bundle = open_bundle(recipe.path(source.bundle))
    except BundleError as error:
        what = f"stage {source.name}: {error.what}"
        raise BundleError(what, expected=error.expected, got=error.got, fix=error.fix) from error
    if bundle.chain is not None or not isinstance(bundle.model.input, PictureInput):
        raise RecipeError(
            f"stage {source.name} cannot be made of {bundle.manifest.name}",
            expected="a bundle of one model that takes pictures",
            got="a chain" if bundle.chain is not None else f"a model that takes {said(bundle.model.input)}",
            fix="name the bundles of its models as stages" if bundle.chain is not None else "name another bundle",
        )
    return bundle


def shared_runtimes(recipe: ChainRecipe, bundles: Sequence[Bundle]) -> tuple[str, ...]:
    """The runtimes to build for, best first: by their rank in the stages' bundles, which measured each model.

    A chain is judged by running it, so a runtime of which nothing ran when the stages were built is none of them.

    Raises:
        RecipeError: one that is asked for is not in every bundle, or did not run there, or there is none that did.
    """
    ranks = [_ran(bundle) for bundle in bundles]
    shared = [runtime for runtime in ranks[0] if all(runtime in rank for rank in ranks)]
    lacking = [runtime for runtime in recipe.runtimes if runtime not in shared]
    if lacking or not shared:
        raise RecipeError(
            "the stages of the chain do not share a runtime" if not shared else "not every stage has this runtime",
            expected=" | ".join(shared) or "one that is in every stage's bundle",
            got=", ".join(lacking) or "; ".join(", ".join(rank) for rank in ranks),
            fix="build the stages' bundles for the same targets, or mend runtimes: in the recipe; what was judged "
            "through a stand-in is none, because a chain is judged by running it",
        )
    wanted = [runtime for runtime in shared if runtime in (recipe.runtimes or shared)]
    return tuple(sorted(wanted, key=lambda runtime: sum(rank.index(runtime) for rank in ranks)))


def _ran(bundle: Bundle) -> list[str]:
    """Runtimes of the variants that were judged on it, best first."""
    return list(dict.fromkeys(one.runtime for one in bundle.model.variants if one.golden.stand_in is None))
