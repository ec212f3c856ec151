"""The build: recipe in, bundle with proof out, or an error with the numbers.

What takes time is done in steps (``building``), each cached by content under the folder ``.edgemill-cache``: a build
that was killed goes on where it was, one of which nothing changed is read back.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from edgemill_converters.building import Entry, Planned, Runner, Step, Store, finding, steps
from edgemill_converters.building.disk import writing
from edgemill_converters.building.files import FileDigests
from edgemill_converters.building.planning import BuildPlan
from edgemill_converters.building.scratch import BESIDE_BUNDLES, scratch_in
from edgemill_converters.building.sources import Sources, read_sources
from edgemill_converters.building.step import report_digest, versions
from edgemill_converters.candidates import ExtraVariant
from edgemill_converters.precisions import check_box
from edgemill_converters.recipe import Recipe, read_recipe
from edgemill_converters.result import BuildResult
from edgemill_converters.searching.parts import check_search
from edgemill_converters.target_parts import check_parts
from edgemill_core.bundle.store import MANIFEST
from edgemill_core.durable import sync_folder, write_bytes
from edgemill_core.errors import BudgetError, InputError
from edgemill_runtimes.machine import this_machine

Progress = Callable[[str], None]
CACHE = ".edgemill-cache"


def quiet(_: str) -> None:
    """Progress that nobody reads."""


def build(
    recipe: Recipe | Path | str,
    out: Path | str | None = None,
    *,
    progress: Progress = quiet,
    extra: Sequence[ExtraVariant] = (),
    cache: Path | str | None = None,
    fresh: bool = False,
    cluster: str | None = None,
) -> BuildResult:
    """Build the bundle of a recipe.

    Steps that were done before with the same contents are read back from the cache, measurements of this very machine
    included; a killed build goes on at the step that was cut. The same steps give the same bundle: one that lies in
    ``out`` already and would come out the same is left alone.

    Args:
        recipe: the recipe, or its file.
        out: folder to make ``<name>-<version>/`` in; beside the recipe if ``None``.
        progress: told what is going on, a few words at a time.
        extra: further variants to measure and judge.
        cache: folder of the cache; ``.edgemill-cache`` in ``out`` if ``None``. It keeps at most 5 GB, what the
            latest build used in any case, and may be removed at any time when no build is going.
        fresh: do everything again.
        cluster: address of a Dask scheduler (``tcp://HOST:PORT``) whose workers transform the trials of the recipe's
            ``search:``; processes of this machine do if ``None``. The result is the same.

    Returns:
        What was found; ``.bundle`` is verified and lies in ``out``, the report inside and beside it.

    Raises:
        RecipeError, DataError, ModelError: the input is wrong, see the message.
        MissingPartError: a runtime that the recipe names, or what its search needs, is not installed.
        InputError: the bundle cannot be written where ``out`` says, or ``cluster`` is of no use.
        ClusterError: the cluster cannot be reached, or its workers run something else.
        CacheError: the cache cannot be written, e.g. for want of room.
        StepCrashed: a step's process died, e.g. for want of memory.
        BudgetError: a target has no variant inside the budget; the report is written all the same.
    """
    recipe = recipe if isinstance(recipe, Recipe) else read_recipe(Path(recipe))
    folder = Path(out) if out is not None else recipe.folder
    for target in recipe.targets:
        check_parts(target)
    check_box(((name, target.device) for target in recipe.targets for name in target.precisions), this_machine())
    check_search(recipe.search, cluster)
    claim(folder, folder / f"{recipe.name}-{recipe.version}")
    with Store(Path(cache) if cache is not None else folder / CACHE, fresh, tell=progress) as store:
        progress("reading the sets")
        digests = FileDigests(store.folder / "digests.json", forget=fresh)
        sources = read_sources(recipe, recipe.make_task(), extra, this_machine(), digests, cluster)
        with writing(store.folder):
            digests.save(store.work)
        return _build(sources, folder, store, progress, digests.check_unchanged)


def claim(folder: Path, target: Path) -> None:
    """Make ``folder``, and refuse to replace anything but an earlier bundle."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the folder for the bundle cannot be made: {folder}",
            expected="a folder, or a place for one",
            got=str(error),
            fix="name another folder with --out",
        ) from error
    other = target.is_dir() and any(target.iterdir()) and not (target / MANIFEST).is_file()
    if other or target.is_file():
        raise InputError(
            f"{target} would be replaced by the bundle, but is none",
            expected="nothing, or an earlier bundle",
            got="a folder with other things" if other else "a file",
            fix="move it away, or name another folder with --out",
        )


def _build(
    sources: Sources, folder: Path, store: Store, progress: Progress, unchanged: Callable[[], None]
) -> BuildResult:
    recipe = sources.recipe
    name = f"{recipe.name}-{recipe.version}"
    report = folder / f"{name}.report.html"
    plan = BuildPlan(sources, partial(_report, sources, report))
    done = Runner(store, name, progress, unchanged=unchanged).run(plan.planned())
    result = finding.result_of(sources, plan, done, report)
    with _writing(folder), scratch_in(folder, BESIDE_BUNDLES) as scratch:
        _keep(report, done["report"].path(steps.REPORT), scratch)
        if result.choice.without:
            raise _nothing_ships(result)
        progress("writing the bundle")
        bundle = finding.write_bundle(sources, plan, done, result, scratch / "bundle", folder / name)
    cached = tuple(name for name in result.seconds if not done[name].made)
    return replace(result, bundle=bundle, cached=cached)


def _report(sources: Sources, file: Path, plan: BuildPlan, needs: tuple[str, ...]) -> Planned:
    """The last step: its result is drawn from all others."""

    def step(done: Mapping[str, Entry]) -> Step:
        result = finding.result_of(sources, plan, done, file)
        depends = {
            "result": result,
            "pictures": sources.judge.contents,
            "code": report_digest(),
            "parts": versions("matplotlib", "numpy", "opencv-python-headless"),
        }
        return Step(steps.draw_report, {"result": result}, depends)

    return Planned("report", needs, step)


def _keep(file: Path, source: Path, scratch: Path) -> None:
    """Make ``file`` a copy of ``source``, in one move, unless it is one."""
    content = source.read_bytes()
    if not file.is_file() or file.read_bytes() != content:
        write_bytes(scratch / file.name, content)
        os.replace(scratch / file.name, file)
        sync_folder(file.parent)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"the bundle cannot be written to {folder}",
            expected="a folder that may be written, and room for bundle and report",
            got=str(error),
            fix="make room and run again: nothing is done again but the writing; or name another folder with --out",
        ) from error


def _nothing_ships(result: BuildResult) -> BudgetError:
    refusals = "\n             ".join(f"{r.variant}: {r.why}" for r in result.choice.refused)
    gated = any(v.ruling.gates and not v.yardstick for v in result.variants)
    gates = "; `gates:` in the recipe says what keeps a variant from shipping whatever its metrics" if gated else ""
    return BudgetError(
        f"no variant inside the budget for {', '.join(result.choice.without)}; no bundle was written",
        expected="; ".join(
            f"{b.metric} worse by at most {b.max_drop:.2%} at {b.confidence:.0%}" for b in result.recipe.budget
        ),
        got=refusals,
        fix=f"look at {result.report}; add samples where it says undecided, or widen the budget{gates}",
    )
