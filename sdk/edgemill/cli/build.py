"""``edgemill build``."""

from __future__ import annotations

from pathlib import Path

import edgemill
from edgemill.cli.output import print_json, print_line, progress
from edgemill.summary import bundle_summary


def run(recipe: Path, out: Path | None, json: bool) -> None:
    """Build, and print what was found."""
    with progress() as tell:
        result = edgemill.build(recipe, out, progress=tell)
    if json:
        print_json(bundle_summary(result))
        return
    assert result.bundle is not None
    print_variants(result)
    print_line(f"bundle  {result.bundle.folder}")
    print_line(f"report  {result.report}")


def print_variants(result: edgemill.BuildResult) -> None:
    """A table of every variant and what became of it."""
    from rich.console import Console
    from rich.table import Table

    refused = {refusal.variant: refusal.why for refusal in result.choice.refused}
    table = Table(box=None, pad_edge=False)
    for title in ("variant", "p50 ms", "p99 ms", "MB", "ruling", ""):
        table.add_column(title, justify="right" if title in ("p50 ms", "p99 ms", "MB") else "left")
    for variant in result.variants:
        measured = variant.measurement
        table.add_row(
            variant.name,
            f"{measured.p50_ms:.2f}",
            f"{measured.p99_ms:.2f}",
            f"{measured.size_bytes / 1e6:.1f}",
            variant.ruling.outcome.value,
            refused.get(variant.name, "ships"),
        )
    Console().print(table)
