"""``edgemill bundle diff``: what tells two bundles apart."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from edgemill.cli.columns import printable
from edgemill.cli.given_bundle import open_given
from edgemill.cli.output import print_json, print_line
from edgemill_core.bundle import Difference, card_of, difference
from edgemill_core.bundle.card import JudgedCard
from edgemill_core.bundle.difference import FileDifference, GoldenDifference

DIFFERENT = 1


def run(a: Path, b: Path, json: bool) -> None:
    """Compare, print, and end with 1 where the contents differ."""
    one, two = open_given(a), open_given(b)
    found = difference(one.manifest, two.manifest, card_of(one), card_of(two))
    if json:
        print_json({"a": str(a), "b": str(b), **found.as_dict()})
    else:
        _print(found)
    if not found.same:
        sys.exit(DIFFERENT)


def _print(found: Difference) -> None:
    if found.same:
        print_line("the same content")
        return
    for key in found.keys:
        print_line(f"{key.key}: {_short(key.a)} -> {_short(key.b)}")
    for file in found.files:
        print_line(f"{file.name}: {_sizes(file)}")
    for golden in found.golden:
        print_line(f"{golden.variant}: {_decided(golden)}")
    for judged in found.judged:
        print_line(f"{judged.variant}, {judged.metric}: {_figures(judged.a)} -> {_figures(judged.b)}")
    fetched = found.bytes_b - found.held_bytes
    print_line(
        f"{len(found.equal)} files are the same; a box that holds A fetches {fetched:,} bytes of B's {found.bytes_b:,}"
    )


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    text = printable(str(value))
    return text if len(text) <= 60 else f"{text[:57]}..."


def _sizes(file: FileDifference) -> str:
    if file.a is None or file.b is None:
        return f"only in {'B' if file.a is None else 'A'}, {file.b if file.a is None else file.a:,} bytes"
    return f"changed, {file.a:,} -> {file.b:,} bytes"


def _decided(golden: GoldenDifference) -> str:
    if golden.samples == 0:
        return "other golden samples, so decisions cannot be compared"
    return f"{len(golden.differ)} of {golden.samples} golden decisions differ"


def _figures(one: JudgedCard | None) -> str:
    return "not judged" if one is None else f"{one.value:.6g} (worse by at most {one.bound:.3g}, {one.samples} samples)"
