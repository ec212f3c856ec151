"""``edgemill agent compile``: plans of TensorRT for this box, beside whatever runs on it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ByteSize, TypeAdapter, ValidationError

from edgemill.cli.given_bundle import open_given
from edgemill.cli.output import print_json, print_line, progress
from edgemill_agent.duration import Duration
from edgemill_agent.processes.priority import LINK, stand_back
from edgemill_agent.settings import read_settings
from edgemill_core.errors import InputError, MissingPartError, ProofError
from edgemill_runtimes.nvidia.asked import CompileLimits, Progress
from edgemill_runtimes.nvidia.planned import Planned
from edgemill_runtimes.nvidia.proved_plans import PlanMaker

SETTINGS = Path("agent.yaml")
_WORDS = {
    "there": "a plan that fits is there, and proved",
    "compiled": "compiled and proved",
    "ahead": "compiled ahead; not proved, which takes such a GPU",
    "refused": "REFUSED: it does not decide as at build",
    "left out": "left out",
    "failed": "FAILED",
}


@dataclass(frozen=True)
class CompileOptions:
    """How to compile.

    Attributes:
        store: folder of plans; that of ``settings`` if not said.
        settings: ``agent.yaml`` of this box.
        limits: ``NAME=VALUE`` each, see ``limits_from``.
        compute_capabilities: of GPUs to compile ahead for.
        workspace_mb: most scratch memory of the GPU that a kernel may want, MB of 10^6 bytes.
        gpu_fallback: layers that a deep learning accelerator cannot run may go to the GPU.
    """

    store: Path | None = None
    settings: Path | None = None
    limits: Sequence[str] = ()
    compute_capabilities: tuple[str, ...] = ()
    workspace_mb: int | None = None
    gpu_fallback: bool = False


def run(folder: Path, options: CompileOptions, json: bool) -> None:
    """Compile and prove what has no plan yet, and see to every variant, whatever becomes of the others.

    Exit 1 if a proof fails, 3 if nothing that is needed is installed; where variants failed, as the worst of them.
    """
    limits, store = limits_from(options.limits), _store(options)
    bundle = open_given(folder)
    stand_back(LINK)  # this process too: it proves, and hashes
    with progress() as tell:
        ahead, workspace_mb = options.compute_capabilities, options.workspace_mb
        maker = PlanMaker(store, ahead, limits, workspace_mb, options.gpu_fallback, _teller(tell))
        made = maker.fill(bundle)
    if json:
        print_json({"bundle": str(folder), "store": str(store), "plans": [one.as_dict() for one in made]})
    else:
        for one in made:
            print_line(f"{one.variant}  {_line(one)}")
    _judge(made, json)


def limits_from(told: Sequence[str]) -> CompileLimits:
    """Read ``memory=4GiB``, ``time=30m`` and ``cores=2``.

    Raises:
        InputError: another name, or a value that cannot be read.
    """
    limits = CompileLimits()
    for one in told:
        name, _, value = one.partition("=")
        try:
            if name == "memory":
                limits = replace(limits, memory_mb=TypeAdapter(ByteSize).validate_python(value) // 1_000_000)
            elif name == "time":
                limits = replace(limits, seconds=TypeAdapter(Duration).validate_python(value).total_seconds())
            elif name == "cores":
                limits = replace(limits, cores=int(value))
            else:
                raise ValueError("no such limit")
        except (ValueError, ValidationError) as error:
            raise _no_limit(one) from error
    if 0 in (limits.memory_mb, limits.seconds) or (limits.cores is not None and limits.cores < 1):
        raise _no_limit(" ".join(told))
    return limits


def _no_limit(told: str) -> InputError:
    return InputError(
        f"--limit {told} cannot be read",
        expected="memory=4GiB, time=30m (or 90s, 2h) or cores=2",
        got=told,
        fix="say --limit once for each",
    )


def _store(options: CompileOptions) -> Path:
    if options.store is not None:
        return options.store
    settings = options.settings or SETTINGS
    if options.settings is None and not settings.is_file():
        raise InputError(
            "where the plans of this box lie is not known",
            expected="--store FOLDER, or --settings agent.yaml of the agent that is to find them",
            got=f"no {SETTINGS} in this folder",
            fix="say one of them",
        )
    return read_settings(settings).plan_store


def _teller(tell: Callable[[str], None]) -> Callable[[str, Progress], None]:
    def told(variant: str, at: Progress) -> None:
        share = "" if at.share is None else f"{at.share:.0%}, "
        left = "" if at.left_s is None else f", about {at.left_s:.0f} s left"
        tell(f"{variant}: {share}{at.seconds:.0f} s{left}: {at.step}")

    return told


def _line(one: Planned) -> str:
    said = _WORDS[one.outcome]
    if one.why:
        return f"{said}: {one.why}"
    size = f"{one.facts.bytes / 1e6:.1f} MB for {one.facts.key}" if one.facts else ""
    differ = f"; {one.proof.changed} of {one.proof.samples} golden decisions differ" if one.proof else ""
    return f"{said} in {one.seconds:.0f} s{differ} ({size})"


def _judge(made: Sequence[Planned], json: bool) -> None:
    failed = [one.error for one in made if one.error is not None]
    if failed:
        worst = max(failed, key=lambda error: error.exit_code)
        if json:
            sys.exit(worst.exit_code)
        raise worst
    refused = [one for one in made if one.outcome == "refused"]
    if refused and json:
        sys.exit(ProofError.exit_code)
    if refused:
        lying = " ".join(str(one.plan.parent) for one in refused if one.plan is not None)
        again = f"delete {lying} to have it compiled anew, " if lying else ""
        raise ProofError(
            "a plan does not decide here as the variant did when it was built; it is not used",
            expected="the golden decisions, and outputs within tolerance",
            got="; ".join(one.variant for one in refused),
            fix=f"{again}run another variant of the bundle here, or rebuild it for this kind of box",
        )
    if all(one.outcome == "left out" for one in made):
        if json:
            sys.exit(MissingPartError.exit_code)
        raise MissingPartError(
            "nothing could be compiled here",
            expected="the runtime of one of the bundle's variants for TensorRT",
            got="; ".join(f"{one.variant}: {one.why}" for one in made),
            fix="run `edgemill doctor`: it says what is missing and how to get it",
        )
