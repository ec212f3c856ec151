"""``edgemill compare``: where two engines part."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgemill.cli.given_bundle import side_given
from edgemill.cli.output import print_json, print_line, progress
from edgemill_converters.comparing.compare import Comparison, compare
from edgemill_converters.comparing.layers import steepest
from edgemill_converters.comparing.sides import read_side
from edgemill_converters.report.comparison import figure_of, part, sentence, share, watching_note, write_comparison
from edgemill_core.errors import InputError
from edgemill_runtimes.benching.feeds import parse_shape

_FLIPS, _LAYERS = 8, 5


@dataclass(frozen=True)
class CompareSettings:
    """What the command line said."""

    a: str
    b: str
    layers: bool
    data: Path | None
    inputs: Path | None
    shapes: tuple[str, ...]
    out: Path
    json: bool


def run(settings: CompareSettings) -> None:
    """Compare, draw the picture, and print what was found."""
    _check_place(settings.out)
    a, b = (read_side(side_given(text)) for text in (settings.a, settings.b))
    shapes = dict(map(parse_shape, settings.shapes))
    with tempfile.TemporaryDirectory() as folder, progress() as tell:
        found = compare(a, b, Path(folder), settings.data, settings.inputs, shapes, settings.layers, tell)
        tell("drawing")
        with _writing(settings.out):
            write_comparison(found, settings.out)
    if settings.json:
        print_json({**found.as_dict(), "picture": str(settings.out)})
        return
    _print(found)
    print_line(f"picture  {settings.out}")


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{out} cannot be written",
            expected="a file in a folder that may be written to, on a disk with room",
            got=str(error),
            fix="name another file with --out",
        ) from error


def _check_place(out: Path) -> None:
    """Find out before the work, not after it."""
    with _writing(out):
        if out.is_dir():
            raise IsADirectoryError(f"{out} is a folder")
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.absolute().parent):
            pass


def _print(found: Comparison) -> None:
    print_line(f"A  {found.a.name}\nB  {found.b.name}\n{sentence(found)}")
    for one in found.outputs:
        print_line(
            f"  output {one.tensor}: max {figure_of(one.most)}, mean {figure_of(one.mean)}, {share(one.relative)}"
        )
    if found.only:
        print_line(f"  only one of the two has: {', '.join(found.only)}")
    for flip in (found.flips or ())[:_FLIPS]:
        said = "; ".join(flip.after.reasons)
        print_line(f"  {flip.sample.id}: {flip.before.decision.value} -> {flip.after.decision.value}  {said}")
    if len(found.flips or ()) > _FLIPS:
        print_line(f"  and {len(found.flips or ()) - _FLIPS} more")
    if found.layers is None:
        return
    print_line(part(found.layers))
    for layer in steepest(found.layers, _LAYERS):
        print_line(f"  {share(layer.difference.relative):>9} (arrived {share(layer.arrived)})  {layer.layer}")
    if note := watching_note(found):
        print_line(note)
