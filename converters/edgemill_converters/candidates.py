"""The variants that a recipe's targets ask for, before anything is known of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import onnx

from edgemill_converters.bake import BakedModel
from edgemill_converters.quantization.dialects import DIALECTS, WriteQdq
from edgemill_converters.quantization.plan import Plan
from edgemill_converters.recipe import Recipe, Target
from edgemill_core.errors import RecipeError

UNCHANGED = ("fp32", "fp64")


@dataclass(frozen=True)
class Candidate:
    """One variant to measure and judge.

    Attributes:
        name: e.g. ``onnxruntime-cpu-int8``.
        precision: what the graph computes in, fp64, fp32 or int8.
        graph: the graph in its runtime's dialect.
        steps: how it was made, for the report.
        yardstick: the recipe does not ask for it; it is there to compare with, and never ships.
    """

    name: str
    target: Target
    precision: str
    graph: onnx.ModelProto
    steps: str
    yardstick: bool = False

    @property
    def is_model_itself(self) -> bool:
        """Whether it computes as the model was trained, so that nothing of it was chosen."""
        return self.precision in UNCHANGED


@dataclass(frozen=True)
class ExtraVariant:
    """A further INT8 variant from a changed plan, judged like any other.

    Attributes:
        label: appended to the target's name.
        target: which target, by position in the recipe.
        change: the plan of the build to the plan of this variant.
    """

    label: str
    target: int
    change: Callable[[Plan], Plan]


def candidates(
    recipe: Recipe, baked: BakedModel, plan: Plan | None, extra: Sequence[ExtraVariant] = ()
) -> Iterator[Candidate]:
    """Render every variant that the recipe asks for, and the extra ones.

    Args:
        plan: the quantization plan; ``None`` if no target asks for INT8.

    Raises:
        RecipeError: INT8 is asked for a runtime without a dialect.
        PassError: a graph could not be rendered.
    """
    for target in recipe.targets:
        for precision in target.precisions:
            if precision in ("fp32", "fp64"):
                yield Candidate(f"{target.name}-{precision}", target, precision, baked.graph, baked.steps)
            elif plan is not None:
                yield _int8(target, "int8", baked, plan)
    asked = {target.name for target in recipe.targets if set(target.precisions) & set(UNCHANGED)}
    for name, target in {target.name: target for target in recipe.targets}.items():
        if name not in asked:
            yield Candidate(f"{name}-fp32", target, "fp32", baked.graph, baked.steps, yardstick=True)
    for variant in extra:
        if plan is not None:
            changed = _int8(recipe.targets[variant.target], f"int8-{variant.label}", baked, variant.change(plan))
            yield replace(changed, steps=f"{changed.steps}, the plan changed by hand: {variant.label}")


def _int8(target: Target, label: str, baked: BakedModel, plan: Plan) -> Candidate:
    dialect = DIALECTS.get(target.runtime)
    if dialect is None:
        raise RecipeError(
            f"there is no INT8 dialect for runtime {target.runtime!r}",
            expected=" | ".join(DIALECTS),
            got=target.runtime,
            fix="write precisions: [fp32] for this target",
        )
    graph = WriteQdq(plan, dialect)(baked.graph)
    steps = f"{baked.steps} → calibrate ({plan.method}, {plan.samples}) → write-qdq ({dialect.name})"
    return Candidate(f"{target.name}-{label}", target, "int8", graph, steps)


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
