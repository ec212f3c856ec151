"""Where plans lie, and which of them fits this box.

A plan and its facts lie beside the graph (built ahead, in the bundle) or in the box's own store::

    STORE/<digest of the graph>/<kind of box>/engine.plan
                                              engine.plan.json

A folder of the store holds all that is needed to use what is in it: copied to a box of the same kind, it just works.
TensorRT trusts a plan blindly, so its length and SHA-256 are compared with its facts before TensorRT sees it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgemill_core.durable import sha256_bytes, sha256_file, sync_folder, sync_tree
from edgemill_core.errors import BundleError, ModelError, NoPlanError
from edgemill_runtimes.nvidia.gpu import Gpu
from edgemill_runtimes.nvidia.onnx_file import external_weights
from edgemill_runtimes.nvidia.plan_facts import PLAN, NvidiaRuntime, PlanFacts, facts_beside, read_facts

NAME = f"engine{PLAN}"
ASIDE = ".aside-"
"""What a folder of the store is called while it is not, or no longer, part of it."""
MAKE_ONE = "make one on this box with `edgemill agent compile BUNDLE`, or copy it from a box of the same kind"


def graph_digest(graph: Path) -> str:
    """SHA-256, in hex, over the SHA-256 of ``graph`` and of each file beside it that it keeps weights in.

    Raises:
        ModelError: it is no ONNX file, or its weights are not there.
    """
    whole = hashlib.sha256()
    for file in (graph, *external_weights(graph)):
        try:
            whole.update(sha256_file(file).encode())
        except OSError as error:
            raise ModelError(
                f"weights of {graph.name} cannot be read",
                expected=f"{file.name} beside it",
                got=str(error),
                fix="put them beside the graph, or get the bundle again",
            ) from error
    return whole.hexdigest()


def fitting_plan(
    graph: Path,
    store: Path | None,
    runtime: NvidiaRuntime,
    gpu: Gpu,
    version: str,
    dla: int | None = None,
) -> Path:
    """Where the plan of ``graph`` lies that this box can use; it is whole, and made from this very graph.

    Args and errors are those of ``read_fitting_plan``.
    """
    return read_fitting_plan(graph, store, runtime, gpu, version, dla)[0]


def read_fitting_plan(
    graph: Path,
    store: Path | None,
    runtime: NvidiaRuntime,
    gpu: Gpu,
    version: str,
    dla: int | None = None,
) -> tuple[Path, bytes]:
    """The plan of ``graph`` that this box can use, and the very bytes that were found to be whole.

    Args:
        graph: ONNX file; plans beside it are looked at first.
        store: the box's own plans; ``None`` where there are none.
        runtime: that is to run it.
        gpu: of this box.
        version: of the runtime here.
        dla: core of the deep learning accelerator that is to run it, if one is.

    Raises:
        ModelError: the graph or its weights cannot be read.
        NoPlanError: there is no plan for this box; says what is nearest, and what it is for.
        BundleError: the only plan that fits is damaged.
    """
    digest = graph_digest(graph)
    others: list[PlanFacts] = []
    damaged: list[BundleError] = []
    unknown: list[BundleError] = []
    for plan in plans_of(graph, digest, store):
        try:
            facts = read_facts(plan)
        except BundleError as error:
            unknown.append(error)
            continue
        if (facts.graph, facts.runtime) != (digest, runtime):
            continue  # of another variant of the bundle
        if _misfit(facts, gpu, version, dla) is not None:
            others.append(facts)
            continue
        try:
            return plan, check_whole(plan, facts)
        except BundleError as error:
            damaged.append(error)
    for wrong in (*damaged, *(() if others else unknown)):
        raise wrong
    raise _nothing_fits(graph, others, runtime, gpu, version, dla)


def plans_of(graph: Path, digest: str, store: Path | None) -> Iterator[Path]:
    """Files that may be plans of ``graph``: what lies beside it, then what ``store`` has for its digest."""
    yield from sorted(graph.parent.glob(f"*{PLAN}"))
    if store is not None:
        yield from sorted((store / digest).glob(f"[!.]*/{NAME}"))


def check_whole(plan: Path, facts: PlanFacts) -> bytes:
    """Refuse a plan that is not the one that ``facts`` are of.

    Returns:
        The bytes that were compared: who gives them to TensorRT has no need to read the file once more, which may be
        another one by then.

    Raises:
        BundleError: it cannot be read, or has another length or content.
    """
    content = b""
    try:
        with plan.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            content = file.read() if size == facts.bytes else b""
        got = f"{size} bytes" if size != facts.bytes else f"SHA-256 {sha256_bytes(content)}"
    except OSError as error:
        got = str(error)
    if got != f"SHA-256 {facts.plan}":
        raise BundleError(
            f"the plan {plan.name} is damaged: TensorRT would trust it blindly",
            expected=f"{facts.bytes} bytes with SHA-256 {facts.plan}, as written beside it",
            got=got,
            fix=f"delete {plan.parent if plan.name == NAME else plan}; {MAKE_ONE}",
        )
    return content


def stored_plan(store: Path, facts: PlanFacts) -> Path:
    """Where a plan of these facts lies in ``store``."""
    return store / facts.graph / facts.key / NAME


def adopt(plan: Path, store: Path) -> Path:
    """Move ``plan``, facts and all, into ``store``; both lie on one file system. Returns where it lies.

    Another plan of the same kind of box is replaced. Whatever happens in between, no half of one is ever found.

    Raises:
        BundleError: it is damaged.
        OSError: the store cannot be written.
    """
    facts = read_facts(plan)
    check_whole(plan, facts)
    place = stored_plan(store, facts)
    place.parent.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store, prefix=ASIDE) as aside:
        ready = Path(aside, "ready")
        ready.mkdir()
        os.replace(plan, ready / NAME)
        os.replace(facts_beside(plan), facts_beside(ready / NAME))
        sync_tree(ready)
        if place.parent.exists():
            os.replace(place.parent, Path(aside, "old"))
        os.replace(ready, place.parent)
        sync_folder(place.parent.parent)
    return place


def dismiss(plan: Path, store: Path) -> None:
    """Remove a plan, with all that lies in its folder of ``store``; no half of one is ever found.

    Raises:
        OSError: the store cannot be written.
    """
    with tempfile.TemporaryDirectory(dir=store, prefix=ASIDE) as aside:
        os.replace(plan.parent, Path(aside, "old"))
        sync_folder(plan.parent.parent)


def sweep(store: Path) -> None:
    """Remove what compiling left behind in ``store`` when the power failed. Nobody else may be compiling into it."""
    for left in store.glob(f"{ASIDE}*"):
        shutil.rmtree(left, ignore_errors=True)


def _misfit(facts: PlanFacts, gpu: Gpu, version: str, dla: int | None) -> tuple[str, str] | None:
    found = facts.misfit(gpu, version)
    if found is None and facts.dla != dla:
        return _core(facts.dla), _core(dla)
    return found


def _core(dla: int | None) -> str:
    return "the GPU" if dla is None else f"core {dla} of the deep learning accelerator"


def _nothing_fits(
    graph: Path, others: Sequence[PlanFacts], runtime: NvidiaRuntime, gpu: Gpu, version: str, dla: int | None
) -> NoPlanError:
    nearest = max(others, key=lambda facts: _likeness(facts, gpu, version, dla), default=None)
    misfit = None if nearest is None else _misfit(nearest, gpu, version, dla)
    expected, got = misfit or (
        f"one for {runtime} {version} on {gpu.name}, compute capability {gpu.compute_capability}",
        "none",
    )
    return NoPlanError(
        f"there is no plan of {graph.name} for this box"
        + ("" if misfit is None else f"; the nearest of {len(others)} is for another"),
        expected=expected,
        got=got,
        fix=MAKE_ONE,
    )


def _likeness(facts: PlanFacts, gpu: Gpu, version: str, dla: int | None) -> int:
    """How much of what a plan is for holds of this box."""
    return sum(
        (
            facts.version == version,
            gpu.compute_capability in facts.compute_capabilities,
            facts.gpu in (None, gpu.name),
            facts.cuda in (None, gpu.cuda),
            facts.dla == dla,
        )
    )
