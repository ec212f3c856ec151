"""The steps for targets of which nothing runs here: graphs run through a stand-in, plans are built ahead."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgemill_converters import judging
from edgemill_converters.building.plain import read_plain, write_plain
from edgemill_converters.building.step import Tell
from edgemill_converters.building.steps import OUTPUTS, RULING, VERDICTS
from edgemill_converters.building.store import Entry
from edgemill_converters.recipe import Recipe
from edgemill_converters.standing_in.running import RUNTIME, write_spelled_out
from edgemill_core.budget import Ruling
from edgemill_core.errors import EdgemillError, EngineError, InputError, ModelError, PassError
from edgemill_runtimes.engines import EngineSettings
from edgemill_runtimes.isolation import EngineProcess
from edgemill_runtimes.nvidia.plan_facts import PlanFacts, read_facts

PLAN, REFUSAL = "engine.plan", "refusal.json"
COMPILE_S = 3600.0
"""What takes longer is refused: the largest graphs that were tried take minutes."""


def run_stand_in(into: Path, _: Tell, recipe: Recipe, graph: Path, prepared: Path) -> None:
    """What a stand-in gives for every sample in the stead of the graph's own runtime: ``OUTPUTS``.

    Or why nothing can stand in for it: ``REFUSAL``, and no outputs.
    """
    with tempfile.TemporaryDirectory(dir=into) as folder:
        try:
            spelled = write_spelled_out(graph, Path(folder))
        except PassError as error:
            write_plain(into / REFUSAL, _in_words("it cannot be judged here", error))
            return
        with EngineProcess(RUNTIME, spelled, EngineSettings()) as child:
            judging.outputs_of(child, recipe.make_task(), prepared, into / OUTPUTS)


def refuse(into: Path, _: Tell, refusal: Path) -> None:
    """In the stead of ``steps.judge_candidate`` where ``run_stand_in`` wrote ``refusal``: no verdicts, no metrics."""
    write_plain(into / RULING, Ruling((), (read_plain(refusal, str),)))
    write_plain(into / VERDICTS, ())


def compile_ahead(into: Path, tell: Tell, name: str, graph: Path, compute_capability: Sequence[str]) -> None:
    """The plan of a candidate and its facts: ``PLAN``; or why there is none: ``REFUSAL``, else null.

    Raises:
        EngineError: there is none for now, which says nothing of the graph: the compiler was killed, or took too long.
    """
    from edgemill_runtimes.nvidia.compiling import Asked, CompileLimits, Progress, compile_plan

    def told(progress: Progress) -> None:
        tell(f"compiling for {', '.join(compute_capability)}: {progress.step}")

    refusal = None
    try:
        asked = Asked("tensorrt_rtx", tuple(compute_capability))
        compile_plan(graph, into / PLAN, asked, CompileLimits(seconds=COMPILE_S), told)
    except (ModelError, InputError) as error:  # these two come out the same each time, so they may be kept
        refusal = _in_words("no plan of it can be built", error)
    except EngineError as error:
        raise _not_now(name, error) from error
    write_plain(into / REFUSAL, refusal)


def _in_words(what: str, error: EdgemillError) -> str:
    return f"{what}: {error.what}: expected {error.expected}, got {error.got}"


def _not_now(name: str, error: EngineError) -> EngineError:
    return type(error)(
        f"the plan of {name} could not be compiled: {error.what}",
        expected=error.expected,
        got=error.got,
        fix="end what else takes memory and processors here, and build again: what was done before is kept; if it "
        "happens each time, take this precision out of precisions: under targets:",
    )


def plan_in(compiled: Entry) -> tuple[PlanFacts | None, str | None]:
    """What ``compile_ahead`` found: the plan's facts, or why there is none."""
    refusal = read_plain(compiled.path(REFUSAL), str | None)
    return (None, refusal) if refusal is not None else (read_facts(compiled.path(PLAN)), None)
