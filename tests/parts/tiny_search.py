"""A search for INT8 forms of a tiny classifier, small enough for a test. As a script it searches with local processes.

Its objectives do not depend on the clock, and the order of the layers can be taken from an earlier search, so that two
searches of one seed must end in the same trials to the last bit.
"""

from __future__ import annotations

import shutil
import sys
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import onnx
import tiny_mix

from edgemill_converters.bake import bake
from edgemill_converters.importers import import_model
from edgemill_converters.judging import prepare_set
from edgemill_converters.quantization.calibration import calibrate
from edgemill_converters.readers import read_set
from edgemill_converters.recipe import read_recipe
from edgemill_converters.searching import evaluating
from edgemill_converters.searching.artefacts import Given
from edgemill_converters.searching.crews import Crew, local_crew
from edgemill_converters.searching.found import SearchFound, Trial
from edgemill_converters.searching.search import search_targets
from edgemill_runtimes.machine import this_machine

SEARCH = {"trials": 5, "seed": 3, "objectives": ["loss", "size"], "part": 8}


def write_workshop(place: Path, **changes: Any) -> Path:
    """Model, pictures and a recipe with ``search:`` in ``place``; returns the recipe's path."""
    place.mkdir(parents=True, exist_ok=True)
    recipe = tiny_mix.write_workshop(place, **{"search": SEARCH, "quantization": {}, **changes})
    onnx.save(tiny_mix.tiny_mix(8), place / "mix.onnx")  # no layer that cannot bear INT8
    return recipe


def given(recipe_file: Path, memory: Path) -> Given:
    """What a build gives to the search."""
    recipe = read_recipe(recipe_file)
    assert recipe.search is not None
    assert recipe.data.calibration is not None
    assert recipe.data.search is not None
    sets = [read_set(recipe, "", source) for source in (recipe.data.calibration, recipe.data.search)]
    baked = bake(import_model(recipe), recipe.input, recipe.make_task())
    plan = calibrate(baked.graph, (prepare_set([one], recipe.input) for one in sets[0]), 8)
    memory.mkdir(parents=True, exist_ok=True)
    return Given(recipe, recipe.search, baked, plan, sets[0], sets[1][:30], this_machine(), memory)


def in_this_process(executor: Executor) -> Crew:
    """Whoever ``executor`` has transforms."""
    return Crew(executor, lambda path: path, lambda: None, lambda _: None)


def hurry() -> None:
    """Measure next to nothing."""
    evaluating.TURNS, evaluating.RUNS, evaluating.WARMUP = 1, 2, 0


def searched(recipe: Path, memory: Path) -> SearchFound:
    """A whole search of the only target, in threads of this process."""
    with ThreadPoolExecutor(2) as executor:
        (found,) = search_targets(given(recipe, memory), in_this_process(executor))
    return found


def with_order_of(earlier: Path, memory: Path) -> Path:
    """A new ``memory`` that knows the order of the layers, and nothing else."""
    memory.mkdir()
    for path in earlier.glob("fallback-*"):
        shutil.copy(path, memory)
    return memory


def same_of(trial: Trial) -> tuple[object, ...]:
    """What of a trial does not depend on the clock."""
    seen = trial.seen
    assert seen is not None
    return trial.number, trial.choice, trial.graph, dict(seen.values), dict(seen.metrics), seen.inside


if __name__ == "__main__":
    hurry()
    with local_crew() as crew:
        search_targets(given(Path(sys.argv[1]), Path(sys.argv[2])), crew, lambda said: print(said, flush=True))  # noqa: T201
