"""The steps for targets of which nothing runs here: graphs run through a stand-in, plans are built ahead."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgemill_converters import judging
from edgemill_converters.building.plain import read_plain, write_plain
from edgemill_converters.building.step import Tell
from edgemill_converters.building.steps import OUTPUTS
from edgemill_converters.building.store import Entry
from edgemill_converters.recipe import Recipe
from edgemill_converters.standing_in.running import RUNTIME, write_spelled_out
from edgemill_core.errors import EdgemillError, EngineError, InputError, ModelError
from edgemill_runtimes.engines import EngineSettings
from edgemill_runtimes.isolation import EngineProcess
from edgemill_runtimes.nvidia.plan_facts import PlanFacts, read_facts

PLAN, REFUSAL = "engine.plan", "refusal.json"
COMPILE_S = 3600.0
"""What takes longer is refused: the largest graphs that were tried take minutes."""


def run_stand_in(into: Path, _: Tell, recipe: Recipe, graph: Path, prepared: Path) -> None:
    """What a stand-in gives for every sample in the stead of the graph's own runtime: ``OUTPUTS``."""
    with tempfile.TemporaryDirectory(dir=into) as folder:
        spelled = write_spelled_out(graph, Path(folder))
        with EngineProcess(RUNTIME, spelled, EngineSettings()) as child:
            judging.outputs_of(child, recipe.make_task(), prepared, into / OUTPUTS)


def compile_ahead(into: Path, tell: Tell, graph: Path, compute_capability: Sequence[str]) -> None:
    """The plan of a candidate and its facts: ``PLAN``; or why there is none: ``REFUSAL``, else null."""
    from edgemill_runtimes.nvidia.compiling import Asked, CompileLimits, Progress, compile_plan

    def told(progress: Progress) -> None:
        tell(f"compiling for {', '.join(compute_capability)}: {progress.step}")

    refusal = None
    try:
        asked = Asked("tensorrt_rtx", tuple(compute_capability))
        compile_plan(graph, into / PLAN, asked, CompileLimits(seconds=COMPILE_S), told)
    except (ModelError, EngineError, InputError) as error:
        refusal = _in_words(error)
    write_plain(into / REFUSAL, refusal)


def _in_words(error: EdgemillError) -> str:
    again = "; `--fresh` tries again" if isinstance(error, EngineError) else ""
    return f"no plan of it can be built: {error.what}: expected {error.expected}, got {error.got}{again}"


def plan_in(compiled: Entry) -> tuple[PlanFacts | None, str | None]:
    """What ``compile_ahead`` found: the plan's facts, or why there is none."""
    refusal = read_plain(compiled.path(REFUSAL), str | None)
    return (None, refusal) if refusal is not None else (read_facts(compiled.path(PLAN)), None)
