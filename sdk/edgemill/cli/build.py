"""``edgemill build``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import edgemill
from edgemill.cli.output import print_json, print_line, progress
from edgemill.summary import bundle_summary
from edgemill_converters.chaining import is_chain
from edgemill_core.bundle import through
from edgemill_core.errors import InputError


@dataclass(frozen=True)
class BuildOptions:
    """How steps are cached, and where trials are transformed; see ``edgemill.build``."""

    cache: Path | None
    fresh: bool
    cluster: str | None = None

    @property
    def named(self) -> str:
        """The first option that is given; empty if none is."""
        given = {"--fresh": self.fresh, "--cache": self.cache is not None, "--cluster": self.cluster is not None}
        return next((name for name, is_given in given.items() if is_given), "")


def run(recipe: Path, out: Path | None, options: BuildOptions, json: bool) -> None:
    """Build, and print what was found."""
    if is_chain(recipe):
        if options.named:
            raise InputError(
                "a chain is built without a cache",
                expected="neither --fresh nor --cache nor --cluster",
                got=options.named,
                fix="leave it out; its models were built before, each with a cache of its own",
            )
        _run_chain(recipe, out, json)
        return
    with progress() as tell:
        result = edgemill.build(
            recipe, out, progress=tell, cache=options.cache, fresh=options.fresh, cluster=options.cluster
        )
    if json:
        print_json(bundle_summary(result))
        return
    assert result.bundle is not None
    print_variants(result)
    for found in result.searches:
        print_line(f"search  {found.target}: {'; '.join(found.reasons)}")
    print_line(f"bundle  {result.bundle.folder}")
    print_line(f"report  {result.report}")


def _run_chain(recipe: Path, out: Path | None, json: bool) -> None:
    with progress() as tell:
        result = edgemill.build_chain(recipe, out, progress=tell)
    if json:
        print_json(result.as_dict())
        return
    assert result.bundle is not None
    for one in result.runtimes:
        print_line(f"{one.runtime}: {' → '.join(one.variants)}")
        for judgement in one.judgements:
            print_line(f"  {judgement.outcome.value}: {judgement.why}")
    print_line(f"bundle  {result.bundle.folder}")
    print_line(f"report  {result.report}")


def print_variants(result: edgemill.BuildResult) -> None:
    """A table of every variant, and below it why the others do not ship."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("variant", "p50 ms", "p99 ms", "size MB", "ruling", "ships"):
        table.add_column(title, justify="right" if title.endswith(("ms", "MB")) else "left", no_wrap=True)
    for variant in result.variants:
        measured = variant.measurement
        table.add_row(
            variant.name,
            f"{measured.p50_ms:.2f}" if measured else "-",
            f"{measured.p99_ms:.2f}" if measured else "-",
            f"{variant.size_bytes / 1e6:.1f}",
            variant.ruling.outcome.value,
            "ships" if variant.name in result.choice.shipped else "",
        )
    Console(soft_wrap=True).print(table)
    print_line()
    for variant in result.variants:
        if variant.stand_in:
            print_line(f"{variant.name}: latency not measured here; {through(variant.stand_in)}")
    for refusal in result.choice.refused:
        print_line(f"not shipped: {refusal.variant}: {refusal.why}")
