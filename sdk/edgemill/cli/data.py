"""``edgemill data``: every sample of a recipe's sets, looked at before a build."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgemill.cli.output import print_json, print_line, progress
from edgemill_converters.building.sources import check_role, needs_labels, settled_as
from edgemill_converters.chaining import is_chain
from edgemill_converters.chaining.recipe import read_chain_recipe
from edgemill_converters.judging import truths_of
from edgemill_converters.readers.cleaning import Cleaning, Finding, clean
from edgemill_converters.recipe import Recipe, read_recipe
from edgemill_core.samples import Sample

_SHOWN = 8


def run(recipe: Path, json: bool) -> None:
    """Print what was found; exit code 1 if a build would fail by it, or prove nothing."""
    with progress() as tell:
        found = _of_chain(recipe, tell) if is_chain(recipe) else _of_model(read_recipe(recipe), tell)
    if json:
        print_json(found.as_dict())
    else:
        _print(found)
    if not found.clean:
        sys.exit(1)


def _of_model(recipe: Recipe, tell: Callable[[str], None]) -> Cleaning:
    task = recipe.make_task()
    named = {"calibration": recipe.data.calibration, "search": recipe.data.search, "judge": recipe.data.judge}

    def check(role: str, samples: list[Sample]) -> list[Sample]:
        found = settled_as(role, samples, recipe, task)
        # Those that nobody labelled are told one by one; what the budget needs is told of the rest.
        check_role(role, [one for one in found if one.truth is not None] or found, recipe)
        return found

    sources = {role: source for role, source in named.items() if source is not None}
    return clean(recipe, sources, recipe.input, check, tell, {role for role in sources if needs_labels(role, recipe)})


def _of_chain(path: Path, tell: Callable[[str], None]) -> Cleaning:
    recipe = read_chain_recipe(path)

    def check(role: str, samples: list[Sample]) -> list[Sample]:
        truths_of(samples, role)
        return samples

    return clean(recipe, {"judge": recipe.data.judge}, None, check, tell)


def _print(found: Cleaning) -> None:
    _print_sets(found)
    _print_classes(found)
    for finding in found.findings:
        _print_finding(finding)
    grave = sum(finding.grave for finding in found.findings)
    said = f"{grave} of {len(found.findings)} findings would make a build fail, or its proof worthless"
    print_line("clean" if found.clean else said)


def _print_sets(found: Cleaning) -> None:
    rows = [
        (
            role,
            f"{one.samples:,}",
            f"{one.good:,}",
            f"{one.bad:,}",
            f"{len(one.unlabelled):,}",
            f"{len(one.faults):,}",
            f"{sum(len(group) - 1 for group in one.repeated):,}",
            ", ".join(f"{size} ({count:,})" for size, count in list(one.sizes.items())[:3]),
        )
        for role, one in found.sets.items()
    ]
    _table(("set", "samples", "good", "bad", "unlabelled", "unusable", "repeated", "sizes"), rows)


def _print_classes(found: Cleaning) -> None:
    names = sorted({name for one in found.sets.values() for name in one.classes})
    if names:
        counted = [(name, *(_count(one.classes, one.boxes, name) for one in found.sets.values())) for name in names]
        _table(("class", *found.sets), counted)


def _count(classes: Mapping[str, int], boxes: Mapping[str, int], name: str) -> str:
    return f"{classes.get(name, 0):,}" + (f" ({boxes[name]:,} boxes)" if name in boxes else "")


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for index, title in enumerate(titles):
        table.add_column(title, justify="left" if index == 0 or title == "sizes" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))  # names may hold what rich takes for markup
    Console(soft_wrap=True).print(table)
    print_line()


def _print_finding(finding: Finding) -> None:
    print_line(f"{'WRONG' if finding.grave else 'look'}  {finding.role}: {finding.what}")
    for name in finding.samples[:_SHOWN]:
        print_line(f"         {name}")
    if len(finding.samples) > _SHOWN:
        print_line(f"         and {len(finding.samples) - _SHOWN:,} more (--json names all)")
