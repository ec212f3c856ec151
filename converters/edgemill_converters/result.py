"""What a build found out: everything the report and the caller may ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from edgemill_converters.choosing import Choice
from edgemill_converters.measuring import Measurement
from edgemill_converters.parity import ImportFacts
from edgemill_converters.quantization.fallback_found import FallbackFound
from edgemill_converters.quantization.plan import Plan
from edgemill_converters.recipe import Recipe
from edgemill_converters.searching.found import SearchFound
from edgemill_core.budget import Ruling
from edgemill_core.bundle import Bundle
from edgemill_core.samples import Sample
from edgemill_core.verdict import Verdict
from edgemill_runtimes.nvidia.plan_facts import PlanFacts


@dataclass(frozen=True)
class VariantResult:
    """One candidate, measured and judged.

    Attributes:
        name: e.g. ``openvino-cpu-int8``.
        steps: how it was made.
        measurement: ``None`` where nothing of its target runs here.
        size_bytes: graph and weights on disk.
        verdicts: on the judge set, in its order; none where nothing could stand in for its runtime.
        yardstick: the recipe does not ask for it; it never ships.
        stand_in: what was judged in the stead of its own runtime; empty where that itself was.
        plan: facts of the plan that was built ahead for its boxes, where one was.
    """

    name: str
    runtime: str
    device: str
    precision: str
    steps: str
    measurement: Measurement | None
    size_bytes: int
    ruling: Ruling
    verdicts: tuple[Verdict, ...]
    yardstick: bool = False
    stand_in: str = ""
    plan: PlanFacts | None = None


@dataclass(frozen=True)
class BuildResult:
    """A finished build. ``bundle`` is ``None`` if nothing was inside the budget.

    Attributes:
        model: file name and SHA-256 of the trained model.
        environment: the machine it was measured on.
        samples: the judge set.
        reference: the reference's verdicts on it.
        variants: all candidates.
        plan: the quantization plan, if any target asked for INT8.
        seconds: how long each step took, when it was done.
        report: the picture report.
        fallbacks: per INT8 target, what the search for layers to leave in float found, if the recipe asked for one.
        searches: per INT8 target, the trials of the search for better forms, if the recipe asked for one.
        digests: SHA-256 of what went in beside the model, by name: recipe and sets.
        imported: how the model came in, and how closely its graph keeps to the framework it came from.
        cached: steps of ``seconds`` whose results an earlier build had left behind.
    """

    recipe: Recipe
    model: Mapping[str, str]
    environment: Mapping[str, object]
    samples: tuple[Sample, ...]
    reference: tuple[Verdict, ...]
    variants: tuple[VariantResult, ...]
    choice: Choice
    plan: Plan | None
    seconds: Mapping[str, float]
    bundle: Bundle | None
    report: Path
    fallbacks: tuple[FallbackFound, ...] = ()
    searches: tuple[SearchFound, ...] = ()
    digests: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    cached: tuple[str, ...] = ()
    imported: ImportFacts | None = None

    def variant(self, name: str) -> VariantResult:
        """The candidate called ``name``."""
        return next(variant for variant in self.variants if variant.name == name)

    @property
    def chosen(self) -> VariantResult | None:
        """The best variant inside the budget, over all targets."""
        return self.variant(self.choice.shipped[0]) if self.choice.shipped else None

    @property
    def fp32_of_chosen(self) -> VariantResult | None:
        """FP32 on the chosen variant's own runtime, also where it is there as the yardstick only."""
        chosen = self.chosen
        same = [
            v
            for v in self.variants
            if chosen and v.precision == "fp32" and (v.runtime, v.device) == (chosen.runtime, chosen.device)
        ]
        return same[0] if same else None
