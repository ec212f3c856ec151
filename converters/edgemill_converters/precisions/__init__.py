"""What a variant may compute in. A new precision is one new file and one line in ``PRECISIONS``."""

from __future__ import annotations

from collections.abc import Iterable

from edgemill_converters.precisions.base import Given, Precision, Rendered
from edgemill_converters.precisions.bf16 import Bf16
from edgemill_converters.precisions.fp16 import Fp16
from edgemill_converters.precisions.int8 import Int8
from edgemill_converters.precisions.int8_dynamic import Int8Dynamic
from edgemill_converters.precisions.int8_weights import Int8Weights
from edgemill_converters.precisions.unchanged import Unchanged
from edgemill_core.errors import RecipeError
from edgemill_runtimes.engines.precision_hints import check_machine
from edgemill_runtimes.machine import Machine

PRECISIONS: dict[str, Precision] = {
    one.name: one
    for one in (
        Unchanged("fp64", 1e-12, of_float64=True),
        Unchanged("fp32", 1e-3, on_nvidia=True),
        Fp16(),
        Bf16(),
        Int8(),
        Int8Dynamic(),
        Int8Weights(),
    )
}

__all__ = ["PRECISIONS", "Given", "Precision", "Rendered", "check_box", "precision_for"]


def precision_for(name: str, runtime: str) -> Precision:
    """The precision called ``name``, for ``runtime``.

    Raises:
        RecipeError: it cannot be rendered for that runtime.
    """
    found = PRECISIONS[name]
    if found.can_run_on(runtime):
        return found
    runs = [one for one in PRECISIONS.values() if one.can_run_on(runtime)]
    able = [one.name for one in runs if one.of_float64 == found.of_float64] or [one.name for one in runs]
    raise RecipeError(
        f"{name} cannot be rendered for runtime {runtime!r}",
        expected=f"{name} on {' | '.join(found.runtimes() or ('a runtime for CPUs',))}",
        got=runtime,
        fix=f"write precisions: [{', '.join(able)}], or some of these, for this target",
    )


def check_box(asked: Iterable[tuple[str, str]], machine: Machine) -> None:
    """Refuse precisions, each with its target's device, that ``machine`` cannot compute in: none is left out silently.

    Raises:
        MissingPartError: naming what the machine lacks.
    """
    for name, device in asked:
        check_machine(PRECISIONS[name].hint, device, machine)
