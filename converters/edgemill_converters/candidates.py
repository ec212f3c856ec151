"""The variants that a recipe's targets ask for, before anything is known of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import onnx

from edgemill_converters.bake import BakedModel, of_float64
from edgemill_converters.precisions import PRECISIONS, Given, Precision, precision_for
from edgemill_converters.quantization.plan import Plan
from edgemill_converters.recipe import Recipe
from edgemill_converters.targets import Target
from edgemill_core.errors import RecipeError
from edgemill_core.precision_hint import PrecisionHint
from edgemill_runtimes.engines import EngineSettings
from edgemill_runtimes.machine import Machine, this_machine

UNCHANGED = ("fp32", "fp64")


@dataclass(frozen=True)
class Candidate:
    """One variant to measure and judge.

    Attributes:
        name: e.g. ``onnxruntime-cpu-int8``.
        precision: a word of ``PRECISIONS``.
        graph: the graph in its runtime's dialect.
        steps: how it was made, for the report.
        precision_hint: what every engine that loads it must be told.
        yardstick: the recipe does not ask for it; it is there to compare with, and never ships.
    """

    name: str
    target: Target
    precision: str
    graph: onnx.ModelProto
    steps: str
    precision_hint: PrecisionHint | None = None
    yardstick: bool = False

    @property
    def is_model_itself(self) -> bool:
        """Whether it computes as the model was trained, so that nothing of it was chosen."""
        return self.precision in UNCHANGED

    @property
    def settings(self) -> EngineSettings:
        """How an engine loads it."""
        return EngineSettings(self.target.device, precision_hint=self.precision_hint)


@dataclass(frozen=True)
class ExtraVariant:
    """A further INT8 variant from a changed plan, judged like any other.

    Attributes:
        label: appended to the target's name.
        target: which target, by position in the recipe.
        change: the plan of the build to the plan of this variant.
        why: what was done to the plan, for the report.
    """

    label: str
    target: int
    change: Callable[[Plan], Plan]
    why: str = "the plan changed by hand"


def candidates(
    recipe: Recipe,
    baked: BakedModel,
    plan: Plan | None,
    extra: Sequence[ExtraVariant] = (),
    machine: Machine | None = None,
) -> Iterator[Candidate]:
    """Render every variant that the recipe asks for, and the extra ones.

    Args:
        plan: the quantization plan; ``None`` if no target asks for a calibrated precision.
        machine: that it is built on; this one if not given.

    Raises:
        RecipeError: a precision is asked for a runtime that it cannot be rendered for.
        PassError: a graph could not be rendered.
    """
    here = machine or this_machine()
    for target in recipe.targets:
        for precision in target.precisions:
            yield rendered(target, precision, Given(target.runtime, baked.graph, plan, here), baked.steps)
    # Where nothing is timed there is nothing to compare times with.
    asked = {one.name for one in recipe.targets if set(one.precisions) & set(UNCHANGED) or not one.runs_here}
    for name, target in {target.name: target for target in recipe.targets}.items():
        if name not in asked:
            found = rendered(target, "fp32", Given(target.runtime, baked.graph, plan, here), baked.steps)
            yield replace(found, yardstick=True)
    for variant in extra:
        if plan is not None:
            target = recipe.targets[variant.target]
            given = Given(target.runtime, baked.graph, variant.change(plan), here)
            changed = rendered(target, "int8", given, baked.steps, f"int8-{variant.label}")
            yield replace(changed, steps=f"{changed.steps}, {variant.why}: {variant.label}")


def rivals(candidate: Candidate, everyone: Sequence[Candidate]) -> int:
    """How many variants compete for the candidate's target that are not the model itself, and so may be wrong.

    The model itself is no rival: its drop is not in question.
    """
    others = [other for other in everyone if other.target.name == candidate.target.name and not other.is_model_itself]
    return 1 if candidate.is_model_itself else len(others)


def fp32_beside(candidate: Candidate, everyone: Sequence[Candidate]) -> Candidate | None:
    """The yardstick of a variant of lower precision: FP32 on the same target."""
    same = [o for o in everyone if o.target.name == candidate.target.name and o.precision == "fp32"]
    return same[0] if same and not candidate.is_model_itself else None


def rendered(target: Target, precision: str, given: Given, before: str, label: str | None = None) -> Candidate:
    """One candidate of ``target``.

    Args:
        given: its graph, plan and machine.
        before: the steps that made the graph.
        label: appended to the target's name; the precision if not given.

    Raises:
        RecipeError: it cannot be rendered for the target's runtime.
        PassError: the graph could not be rendered.
    """
    found = precision_for(precision, target.runtime)
    _check_type(given.graph, found)
    made = found.render(given)
    steps = " → ".join(filter(None, (before, made.steps)))
    return Candidate(f"{target.name}-{label or precision}", target, precision, made.graph, steps, found.hint)


def _check_type(graph: onnx.ModelProto, precision: Precision) -> None:
    """What was trained in float64 is exact in float64 alone, and nothing else becomes it."""
    if of_float64(graph) == precision.of_float64:
        return
    own = [one.name for one in PRECISIONS.values() if one.of_float64 != precision.of_float64]
    raise RecipeError(
        f"the model computes in {'float32' if precision.of_float64 else 'float64'}, and so not in {precision.name}",
        expected=" | ".join(own),
        got=precision.name,
        fix=f"write precisions: [{own[0]}] under targets: in the recipe",
    )
