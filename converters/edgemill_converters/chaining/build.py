"""Build a chain: bundles in, one bundle with proof of the whole out, or an error with the numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgemill_converters.build import claim, quiet
from edgemill_converters.building.scratch import BESIDE_BUNDLES, scratch_in
from edgemill_converters.chaining import bundling
from edgemill_converters.chaining.judging import judge_runtime
from edgemill_converters.chaining.recipe import ChainRecipe, read_chain_recipe
from edgemill_converters.chaining.report import write_report
from edgemill_converters.chaining.result import ChainResult
from edgemill_converters.chaining.sources import open_sources, shared_runtimes
from edgemill_converters.judging import truths_of
from edgemill_converters.readers import read_set
from edgemill_core.errors import BudgetError
from edgemill_runtimes.engines import engine_class
from edgemill_runtimes.machine import this_machine


def build_chain(
    recipe: ChainRecipe | Path | str, out: Path | str | None = None, *, progress: Callable[[str], None] = quiet
) -> ChainResult:
    """Build the bundle of a chain from bundles of one model each.

    Args:
        recipe: the chain's recipe, or its file.
        out: folder to make ``<name>-<version>/`` in; beside the recipe if ``None``.
        progress: told what is going on, a few words at a time.

    Returns:
        What was found; ``.bundle`` is verified and lies in ``out``, the report inside and beside it.

    Raises:
        RecipeError, DataError, BundleError: the input is wrong, see the message.
        MissingPartError: a runtime of the chain is not installed.
        InputError: a picture cannot be judged, or the bundle cannot be written where ``out`` says.
        BudgetError: the chain is not inside the budget on a runtime; the report is written all the same.
    """
    recipe = recipe if isinstance(recipe, ChainRecipe) else read_chain_recipe(Path(recipe))
    folder = Path(out) if out is not None else recipe.folder
    target = folder / f"{recipe.name}-{recipe.version}"
    claim(folder, target)
    bundles = open_sources(recipe)
    runtimes = shared_runtimes(recipe, bundles)
    for runtime in runtimes:
        engine_class(runtime)
    samples = read_set(recipe, "judge", recipe.data.judge)
    truths_of(samples)
    results = tuple(judge_runtime(recipe, bundles, samples, runtime, progress) for runtime in runtimes)
    report = folder / f"{recipe.name}-{recipe.version}.report.html"
    environment = this_machine().as_dict()
    found = ChainResult(recipe, tuple(samples), results, environment, None, report)
    write_report(found, report)
    if not all(result.holds for result in results):
        raise _nothing_ships(found)
    measured: dict[str, object] = {"environment": environment, "chain": {r.runtime: r.as_dict() for r in results}}
    with scratch_in(folder, BESIDE_BUNDLES) as scratch:
        place = scratch / "bundle"
        place.mkdir()
        bundle = bundling.write(place, target, recipe, bundles, samples, results, measured, report)
    return ChainResult(recipe, tuple(samples), results, environment, bundle, report)


def _nothing_ships(found: ChainResult) -> BudgetError:
    lacking = [result for result in found.runtimes if not result.holds]
    why = [f"{r.runtime}: {'; '.join(j.why for j in r.judgements)}" for r in lacking]
    return BudgetError(
        f"the chain is not inside the budget on {', '.join(r.runtime for r in lacking)}; no bundle was written",
        expected="; ".join(f"{b.metric} at most {b.at_most:.2%} at {b.confidence:.0%}" for b in found.recipe.budget),
        got="\n             ".join(why),
        fix=f"look at {found.report}; add samples where it says too few, or name other runtimes:",
    )
