"""What the search for better INT8 forms tried, which of it nothing beats, and what goes on to the judge."""

from __future__ import annotations

from functools import partial

from edgemill_converters.report import trials_drawing
from edgemill_converters.report.captioned import figure
from edgemill_converters.report.markup import Markup, element, joined
from edgemill_converters.report.svg import inline_svg
from edgemill_converters.report.tables import header_row, number, scrolling
from edgemill_converters.report.wording import chip
from edgemill_converters.result import BuildResult
from edgemill_converters.searching.found import SearchFound, Trial

TITLES = {
    "loss": "loss, share of the squared output",
    "latency_p50": "p50, share of FP32's",
    "latency_p99": "p99, share of FP32's",
    "throughput": "time per inference, many at once, share of FP32's",
    "size": "size, share of FP32's",
    "memory": "memory, share of FP32's",
}


def trials_section(result: BuildResult) -> Markup:
    """Every search by itself."""
    return joined(_of_target(found) for found in result.searches)


def _of_target(found: SearchFound) -> Markup:
    resumed = f", {found.resumed:,} of them by an earlier, broken-off search" if found.resumed else ""
    account = (
        f"{len(found.trials):,} trials{resumed}; all in all {found.graphs:,} graphs were run, {found.inferences:,} "
        f"inferences in {found.seconds:.0f} s."
    )
    reasons = element("ul", joined(element("li", reason) for reason in found.reasons))
    return joined((element("h3", found.target), element("p", account), reasons, _picture(found), _table(found)))


def _picture(found: SearchFound) -> Markup:
    names = (*found.objectives, "latency_p99")[:2]
    points = trials_drawing.points_of(found)
    said = "; ".join(f"{one.number}: {', '.join(f'{value:.4g}' for value in one.place)}" for one in points if one.best)
    alt = f"{len(points)} trials on {found.target}. Those that nothing beats: {said}"
    labels = (TITLES[names[-1]], TITLES[names[0]])
    svg = inline_svg(
        f"trials-{found.target}",
        alt,
        partial(trials_drawing.draw, points, labels),
        [f"trial {one.number}: {one.words}" for one in points],
    )
    caption = (
        f"Down and left is better. Ringed: nothing beats it, in all of {', '.join(found.objectives)} together. "
        "◆ plain INT8, ★ goes on to the judge, pale: not inside the budget on the search set. Trials with their "
        "settings when pointed at."
    )
    return figure("Trials", caption, svg, wide=True)


def _table(found: SearchFound) -> Markup:
    shown = ("p50 ms", "p99 ms", "FP32's p99", *found.objectives)
    head = header_row("Trial", "Settings", *shown, "Search set", numbers=frozenset(shown))
    best = [trial for trial in found.trials if trial.number in found.front]
    rows = joined(_row(found, trial) for trial in best)
    caption = element("caption", "Those that nothing beats; times are of one inference, FP32's from the same turns.")
    refused = [trial for trial in found.trials if trial.seen is None]
    failed = joined(element("li", f"trial {one.number}, {one.choice.words}: {one.refused}") for one in refused)
    table = scrolling(element("table", caption, head, element("tbody", rows), class_="lines compact"))
    return joined((table, element("ul", failed) if refused else Markup()))


def _row(found: SearchFound, trial: Trial) -> Markup:
    seen = trial.seen
    assert seen is not None
    goes_on = "★ " * any(one.number == trial.number for one in found.proposals)
    figures = [f"{ms:.2f}" for ms in (seen.p50_ms, seen.p99_ms, seen.fp32_p99_ms)]
    figures += [f"{seen.values[name]:.4g}" for name in found.objectives]
    first = element("th", f"{goes_on}{trial.number}", scope="row")
    words = element("td", trial.choice.words)
    return element("tr", first, words, joined(map(number, figures)), element("td", chip(seen.outcome)))
