"""Who obeys a precision hint: a runtime that knows it, on a machine that has the instructions."""

from __future__ import annotations

from collections.abc import Collection

from edgemill_core.errors import MissingPartError
from edgemill_core.precision_hint import PrecisionHint
from edgemill_runtimes.machine import Machine


def check_machine(hint: PrecisionHint | None, device: str, machine: Machine) -> None:
    """Refuse a hint that the machine's processor cannot follow; other devices are asked when the engine is loaded.

    Raises:
        MissingPartError: the processor has no such instructions.
    """
    if hint == "bf16" and device == "CPU" and not machine.bf16:
        raise MissingPartError(
            "this machine does not compute in BF16",
            expected="a processor with BF16 (AVX512_BF16, AMX_BF16 or AVX_NE_CONVERT)",
            got=f"{machine.cpu}: {', '.join(machine.features) or 'none of the features that matter'}",
            fix="use another variant of the bundle here; or write other precisions: than bf16 in the recipe",
        )


def check_runtime(hint: PrecisionHint | None, runtime: str, obeyed: Collection[PrecisionHint]) -> None:
    """Refuse a hint that the runtime would not follow.

    Raises:
        MissingPartError: it knows no such hint.
    """
    if hint is not None and hint not in obeyed:
        raise MissingPartError(
            f"runtime {runtime!r} does not compute in {hint} on being told",
            expected=f"no precision hint, or {' | '.join(obeyed)}" if obeyed else "no precision hint",
            got=hint,
            fix="run this variant on the runtime that it was built for (OpenVINO)",
        )
