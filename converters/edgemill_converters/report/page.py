"""The page: sections put in order, and written as one file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgemill_converters.report.confusion import confusion_section
from edgemill_converters.report.document import document
from edgemill_converters.report.headline import headline
from edgemill_converters.report.making import making_section
from edgemill_converters.report.markup import Markup, element, joined
from edgemill_converters.report.pictures import flips_section
from edgemill_converters.report.plots import plots_section
from edgemill_converters.report.precision import precision_section
from edgemill_converters.report.sensitivity import sensitivity_section
from edgemill_converters.report.tables import budget_table, variants_table
from edgemill_converters.report.tiles import tiles
from edgemill_converters.report.trials import trials_section
from edgemill_converters.report.tried import tried_section
from edgemill_converters.result import BuildResult
from edgemill_core.durable import write_bytes
from edgemill_core.verdict import Decision

_Section = tuple[str, str, str, Callable[[BuildResult], Markup]]
_SECTIONS: tuple[_Section, ...] = (
    ("variants", "Variants", "What was built for each target, and why it ships or not.", variants_table),
    ("budget", "Budget", "Reference against variant on the same parts of the judge set.", budget_table),
    ("plots", "Plots", "", plots_section),
    (
        "precision",
        "Precision by layer",
        "What the runtime's compiled layers compute in, from the first to the last; a layer is as wide as its share of "
        "the work and as tall as its numbers have bits. A red one with a red mark below it is unfused: it was "
        "quantized, but computes in float.",
        precision_section,
    ),
    (
        "sensitivity",
        "Sensitive layers",
        "Where plain INT8 was outside the budget: which layers hurt, what they cost in float, and what was tried.",
        sensitivity_section,
    ),
    (
        "trials",
        "Search for better forms",
        "INT8 forms that were transformed, run on the search set and measured beside FP32, before the judge saw any.",
        trials_section,
    ),
    (
        "flips",
        "Where verdicts flip",
        "The parts on which a variant says something else than the reference, the most dangerous first. "
        "In a reading, marked characters are not on the part and struck ones were missed.",
        flips_section,
    ),
    ("confusion", "Good and bad parts", "What becomes of them, before and after.", confusion_section),
    ("tried", "What was tried", "Every variant and every mix, and why it was refused.", tried_section),
    ("making", "How it was made", "", making_section),
)


def write_report(result: BuildResult, path: Path) -> None:
    """Write the report of a build as one HTML file that loads nothing.

    Pictures on which verdicts flip are read from where the judge set lies; one that cannot be read any more is
    named in its place.

    Args:
        result: the build; ``bundle`` may still be ``None``, what ships is read off ``choice``.
        path: the file to write; an old one is replaced in one step.
    """
    write_bytes(path, page(result).encode())


def page(result: BuildResult) -> str:
    """The whole page as text."""
    sections = (
        element("section", element("h2", title, id=anchor), _lead(lead), content(result))
        for anchor, title, lead, content in _sections(result)
    )
    footer = element("footer", f"Edgemill build report of {result.recipe.name} {result.recipe.version}. ")
    body = element("body", _header(result), _contents(result), element("main", joined(sections)), footer)
    return document(f"{result.recipe.name} {result.recipe.version}: build report", body)


def _header(result: BuildResult) -> Markup:
    recipe, said = result.recipe, headline(result)
    details = element("ul", joined(element("li", line) for line in said.details)) if said.details else ""
    return element(
        "header",
        element("p", f"Build report · {recipe.task.get('name', 'task')}", class_="eyebrow"),
        element("h1", recipe.name, " ", element("small", recipe.version)),
        element("div", element("p", said.sentence), details, class_=f"verdict {said.tone.value}"),
        tiles(result),
    )


def _sections(result: BuildResult) -> list[_Section]:
    """Where verdicts are figures, no decision can flip; where nothing was searched, no layer was looked at."""
    figures = all(verdict.decision is Decision.SCORE for verdict in result.reference)
    left_out = {"flips", "confusion"} if figures else set()
    left_out |= set() if result.fallbacks else {"sensitivity"}
    left_out |= set() if result.searches else {"trials"}
    return [section for section in _SECTIONS if section[0] not in left_out]


def _contents(result: BuildResult) -> Markup:
    links = (element("li", element("a", title, href=f"#{anchor}")) for anchor, title, _, _ in _sections(result))
    return element("nav", element("ul", joined(links)), aria_label="Contents")


def _lead(text: str) -> Markup:
    return element("p", text, class_="lead") if text else Markup()
