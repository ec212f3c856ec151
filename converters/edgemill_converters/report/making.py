"""How the variants were made and measured, and what the confidence means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgemill_converters.report.imported import imported_rows
from edgemill_converters.report.markup import Markup, element, joined
from edgemill_converters.report.wording import NOT_AVAILABLE, confidence, megabytes, objective_name, percent
from edgemill_converters.result import BuildResult, VariantResult
from edgemill_converters.targets import Target
from edgemill_core.bundle import through
from edgemill_core.engine_input import AnyInput
from edgemill_core.metrics import metric_named
from edgemill_core.row_input import RowInput
from edgemill_core.tensor_input import TensorInput

_LOSS_NOTE = (
    "A loss is compared by its mean. The bound is a bootstrap over blocks of neighbouring samples, in pairs, and grows "
    "true with the number of samples; the test described below is for rates."
)
_MAP_NOTE = (
    "Mean average precision is compared by a bootstrap over pictures, in pairs, widened by what could be lost of the "
    "rarest class without one loss being seen in the pictures that show it. A bootstrap grows true with the number of "
    "pictures, and losses of whole pictures at once, none of them seen, are not in it. The test described below is for "
    "rates."
)
_SET_NOTE = (
    "Numbers of the whole set (precision, recall, F1, AUROC, calibration error, character errors and the like) are "
    "compared by a bootstrap over samples, in pairs, widened by what could be lost of the rarest kind without one loss "
    "being seen. The test described below is for rates."
)
_STAND_IN_NOTE = (
    "Where nothing of a target runs on the build machine, the very graph that ships was computed here as it is "
    "written: every value rounded where the graph says so, and nowhere else. Judgement and golden outputs are of that. "
    "A sum is taken in FP32 and rounded once: a kernel that adds up in FP16 may be further off, or overflow where this "
    "does not. What the target's own runtime makes of the graph, and how fast, the box shows when it proves the golden "
    "samples. "
    "Of such a target the smallest variant inside the budget ships, and it stands behind those that were measured."
)
Facts = Sequence[tuple[str, str]]


def making_section(result: BuildResult) -> Markup:
    """Recipe, steps, plan, times, machine and notes."""
    parts = (
        ("Recipe and model", _facts(_identity(result))),
        *((("Import", _facts(imported_rows(result.imported))),) if result.imported is not None else ()),
        ("Steps", _steps(result)),
        ("Quantization plan", _plan(result)),
        ("Time", _seconds(result)),
        ("Machine", _facts(_environment(result.environment))),
        ("What the confidence means", _notes(result)),
    )
    return joined(joined((element("h3", title), content)) for title, content in parts)


def _facts(rows: Facts) -> Markup:
    cells = (element("tr", element("th", term, scope="row"), element("td", said)) for term, said in rows)
    return element("table", element("tbody", joined(cells)), class_="facts")


def _code(text: object) -> Markup:
    return element("code", str(text))


def _identity(result: BuildResult) -> list[tuple[str, str]]:
    recipe = result.recipe
    budget = (
        f"{b.metric} worse by at most {percent(b.max_drop)} at {confidence(b.confidence)}"
        + (f", floor {percent(b.floor)}" if b.floor is not None else "")
        for b in recipe.budget
    )
    return [
        ("recipe", _code(f"{recipe.name} {recipe.version}")),
        ("targets", "; ".join(map(_target, recipe.targets))),
        ("objective", f"smallest {objective_name(result)} inside the budget"),
        ("budget", "; ".join(budget)),
        ("input", _input(recipe.input)),
        ("judge set", f"{len(result.samples):,} labelled samples"),
        *((f"model {key}", _code(value)) for key, value in result.model.items()),
        *((f"{name} sha256", _code(value)) for name, value in result.digests.items()),
        ("content digest of the bundle", _digest(result)),
    ]


def _target(target: Target) -> str:
    boxes = f", for compute capability {' and '.join(target.compute_capability)}" if target.is_built_ahead else ""
    return f"{target.runtime} on {target.device} ({', '.join(target.precisions)}){boxes}"


def _input(declared: AnyInput) -> str:
    if isinstance(declared, RowInput):
        return f"{len(declared.features)} numbers: {', '.join(declared.names)}"
    if isinstance(declared, TensorInput):
        return "; ".join(f"{name}: {one.dtype}{list(one.shape)}" for name, one in declared.tensors.items())
    region = declared.region
    looked_at = f"{region.width} × {region.height} at ({region.x}, {region.y})" if region else "the whole picture"
    return f"{looked_at}, brought to {declared.size[0]} × {declared.size[1]} ({declared.resize.method.value})"


def _digest(result: BuildResult) -> str:
    if result.bundle is not None:
        return _code(result.bundle.manifest.content_digest)
    if result.choice.without or not result.choice.shipped:
        return "none: there is no bundle"
    return "the bundle is sealed after this report is written; edgemill check --json prints its digest"


def _steps(result: BuildResult) -> Markup:
    rows = (
        element(
            "tr",
            element("th", variant.name, scope="row"),
            element("td", _chain(variant.steps)),
            *(element("td", said) for said in _ran(variant)),
        )
        for variant in result.variants
    )
    return element("div", element("table", element("tbody", joined(rows)), class_="lines"), class_="scroll", tabindex=0)


def _ran(variant: VariantResult) -> tuple[str, str]:
    """On what it ran, and how it came there."""
    if variant.measurement is not None:
        compiled = f"loaded and compiled in {variant.measurement.build_seconds:.2f} s"
        return f"{variant.runtime} {variant.measurement.version}", compiled
    through_what = f"{variant.runtime}, {through(variant.stand_in) if variant.stand_in else 'not judged'}"
    plan = variant.plan
    if plan is None:
        return through_what, "no plan; one is compiled on the box"
    ahead = f"plan of {megabytes(plan.bytes)} MB by {plan.runtime} {plan.version}"
    return through_what, f"{ahead}, for compute capability {' and '.join(plan.compute_capabilities)}"


def _chain(steps: str) -> Markup:
    return element("ol", joined(element("li", step) for step in steps.split(" → ")), class_="steps")


def _plan(result: BuildResult) -> Markup:
    plan = result.plan
    if plan is None:
        return element("p", "None: the recipe asks for no INT8.")
    return _facts(
        [
            ("method", plan.method),
            ("calibrated on", f"{plan.samples:,} pictures, none of them in the judge set"),
            ("weight bits", weight_bits(plan.weight_bits, result.recipe.targets)),
            ("layers in INT8", f"{len(plan.layers):,}"),
            ("tensors with a range", f"{len(plan.ranges):,}"),
            ("digest", _code(plan.digest)),
        ]
    )


def weight_bits(bits: int, targets: Sequence[Target]) -> str:
    """In how many bits INT8 weights are, where the build machine's processor takes ``bits``."""
    asked = [target for target in targets if "int8" in target.precisions]
    away = " and ".join(dict.fromkeys(target.runtime for target in asked if not target.runs_here))
    if bits == 8 or (away and not any(target.runs_here for target in asked)):
        return "8"
    seven = f"{bits}, because this CPU sums INT8 products in 16 bits and would saturate"
    return f"{seven}; 8 for {away}" if away else seven


def _seconds(result: BuildResult) -> Markup:
    """Every step with the time that it took when it was done, now or by an earlier build."""
    total = sum(result.seconds.values())
    if not any(result.seconds.values()):
        return element("p", NOT_AVAILABLE)
    cells = (_second(step, took, total) for step, took in result.seconds.items())
    whole = element("tr", element("th", "together", scope="row"), element("td", f"{total:.1f} s", class_="number"))
    return element("table", element("tbody", joined(cells), whole), class_="facts")


def _second(step: str, took: float, total: float) -> Markup:
    bar = element("span", element("i", style=f"width:{took / total:.1%}"), class_="meter", aria_hidden="true")
    return element(
        "tr",
        element("th", step, scope="row"),
        element("td", f"{took:.1f} s", class_="number"),
        element("td", bar),
    )


def _environment(environment: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(key.replace("_", " "), _plain(value)) for key, value in environment.items()]


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value) or "none"
    return str(value)


def _notes(result: BuildResult) -> Markup:
    metrics = [metric_named(budget.metric) for budget in result.recipe.budget]
    away = any(variant.stand_in for variant in result.variants)
    notes = (
        *((_STAND_IN_NOTE,) if away else ()),
        *((_LOSS_NOTE,) if any(metric.is_loss for metric in metrics) else ()),
        *((_MAP_NOTE,) if any(metric.ious for metric in metrics) else ()),
        *((_SET_NOTE,) if any(metric.of_set is not None for metric in metrics) else ()),
        "Reference and variant see the same samples, and only samples on which exactly one of them is wrong count "
        "for or against the variant. The reference is the trained model as its author left it.",
        "Each bound is per variant and metric: an exact unconditional paired test, ordered by likelihood ratio, "
        "one-sided. It holds for every number of samples.",
        "A variant must keep every budget, so judging several metrics makes no error likelier. Judging several "
        "variants would: so where several compete for a target, the error that the budget allows is divided by their "
        "number (Bonferroni), and each is judged at the confidence in the table. The model itself is not counted.",
        "It speaks for parts like those of the judge set, and says nothing of parts that the set does not hold.",
        "Latencies were taken in turns, each variant in a process of its own, one at a time on this machine; another "
        "machine has other latencies. See docs/decisions.",
    )
    return element("ul", joined(element("li", note) for note in notes))
