"""``edgemill run``: verdicts on pictures, on the rows of tables, or on files of tensors."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from edgemill.cli.given_bundle import open_given
from edgemill.cli.output import print_json, print_line
from edgemill_core.codes import read_codes
from edgemill_core.engine_input import said
from edgemill_core.errors import EdgemillError, InputError
from edgemill_core.inspection import in_words
from edgemill_core.picture_input import PictureInput
from edgemill_core.row_input import RowInput
from edgemill_core.row_table import LABELS, Columns, Row, read_table
from edgemill_core.tensor_files import SUFFIXES as TENSORS
from edgemill_core.verdict import Verdict
from edgemill_runtimes.frames import read_picture
from edgemill_runtimes.frames.annotate import annotate
from edgemill_runtimes.frames.decode import SUFFIXES
from edgemill_runtimes.pipeline import Pipeline, open_pipeline


@dataclass(frozen=True)
class RunSettings:
    """What the command line said."""

    bundle: Path
    pictures: tuple[Path, ...]
    runtime: str | None
    expect: str | None
    labels: Path | None
    save: Path | None
    json: bool
    plans: Path | None = None


@dataclass(frozen=True)
class _Row:
    part: str
    kind: str
    verdict: Verdict | None
    error: EdgemillError | None
    milliseconds: float

    def as_dict(self) -> dict[str, object]:
        said = self.verdict.as_dict() if self.verdict else self.error.as_dict() if self.error else {}
        return {self.kind: self.part, **said, "ms": round(self.milliseconds, 3)}


def run(settings: RunSettings) -> None:
    """A verdict for every part; one that cannot be read is reported, the others go on, and the exit code is 2."""
    bundle = open_given(settings.bundle)
    parts = _PARTS[said(bundle.model.input)]
    rows = []
    with open_pipeline(bundle, settings.runtime, plans=settings.plans) as pipeline:
        for row in parts(pipeline, settings):
            rows.append(row)
            if not settings.json:
                _print_row(row)
        runtime = pipeline.runtime
    if settings.json:
        print_json({"bundle": str(settings.bundle), "runtime": runtime, "verdicts": [row.as_dict() for row in rows]})
    if any(row.error for row in rows):
        sys.exit(InputError.exit_code)


def _on_pictures(pipeline: Pipeline, settings: RunSettings) -> Iterator[_Row]:
    codes = read_codes(settings.labels) if settings.labels else {}
    pictures = list(_files(settings.pictures, SUFFIXES, "picture"))
    targets = _targets(settings.save, pictures) if settings.save else {}
    for picture in pictures:
        expected = codes.get(picture.name, settings.expect)
        yield _one(pipeline, picture, {"expected": expected} if expected else {}, targets.get(picture))


def _one(pipeline: Pipeline, picture: Path, context: dict[str, str], target: Path | None) -> _Row:
    start = time.perf_counter()
    try:
        frame = read_picture(picture)
        verdict = pipeline(frame, context)
    except InputError as error:
        return _Row(str(picture), "picture", None, error, (time.perf_counter() - start) * 1e3)
    elapsed = (time.perf_counter() - start) * 1e3
    if target is not None and isinstance(pipeline.declared, PictureInput):
        annotate(frame, pipeline.declared.region, verdict, target)
    return _Row(str(picture), "picture", verdict, None, elapsed)


def _on_tensors(pipeline: Pipeline, settings: RunSettings) -> Iterator[_Row]:
    _no_options(settings, "tensors", "files (.npz)")
    for path in _files(settings.pictures, TENSORS, "sample"):
        start = time.perf_counter()
        try:
            verdict = pipeline(path)
        except InputError as error:
            yield _Row(str(path), "sample", None, error, (time.perf_counter() - start) * 1e3)
        else:
            yield _Row(str(path), "sample", verdict, None, (time.perf_counter() - start) * 1e3)


def _no_options(settings: RunSettings, takes: str, files: str) -> None:
    if settings.save or settings.labels or settings.expect:
        raise InputError(
            f"this bundle's model takes {takes}",
            expected=f"{files}, and no --labels, --expect or --save",
            got="an option for pictures",
            fix="leave the option out",
        )


def _on_tables(pipeline: Pipeline, settings: RunSettings) -> Iterator[_Row]:
    _no_options(settings, "numbers", "tables (CSV)")
    features = pipeline.declared.names if isinstance(pipeline.declared, RowInput) else ()
    columns = Columns(labels=[name for name in LABELS if name not in features])
    for table in settings.pictures:
        try:
            yield from (_row(pipeline, table, row) for row in read_table(table, columns=columns))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(
                f"{table} cannot be read", expected="a CSV file in UTF-8", got=str(error), fix="name another file"
            ) from error


def _row(pipeline: Pipeline, table: Path, row: Row) -> _Row:
    part, start = f"{table}:{row.line} {row.item}", time.perf_counter()
    try:
        if row.fault:
            raise InputError(row.fault, expected="finite numbers", got=f"line {row.line}", fix="mend the line")
        verdict = pipeline(row.fields)
    except InputError as error:
        return _Row(part, "row", None, error, (time.perf_counter() - start) * 1e3)
    return _Row(part, "row", verdict, None, (time.perf_counter() - start) * 1e3)


def _print_row(row: _Row) -> None:
    if row.verdict is None:
        print_line(f"error      {row.part}\n{row.error}")
        return
    reading = dict(row.verdict.reading)
    figures = ", ".join(f"{name} {value:.4g}" for name, value in reading.items() if isinstance(value, float))
    said = "; ".join(row.verdict.reasons) or figures or ", ".join(in_words(reading).values())
    print_line(f"{row.verdict.decision.value:<10} {row.part}  {said}  ({row.milliseconds:.1f} ms)")


def _files(given: tuple[Path, ...], suffixes: Collection[str], what: str) -> Iterator[Path]:
    for path in given:
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if p.suffix.lower() in suffixes)
            if not found:
                raise InputError(
                    f"there is no {what} in {path}",
                    expected=f"files ending in {', '.join(sorted(suffixes))}",
                    got="none",
                    fix="name another folder",
                )
            yield from found
        else:
            yield path


_PARTS = {"pictures": _on_pictures, "numbers": _on_tables, "tensors": _on_tensors}


def _targets(folder: Path, pictures: Sequence[Path]) -> dict[Path, Path]:
    """Where each annotated picture goes: under its own name, with a number where two have the same."""
    targets: dict[Path, Path] = {}
    taken: set[Path] = set()
    for picture in dict.fromkeys(pictures):
        names = (folder / f"{picture.stem}{f'-{number}' if number else ''}.png" for number in count())
        targets[picture] = next(name for name in names if name not in taken)
        taken.add(targets[picture])
    lost = {target.resolve() for target in taken} & {picture.resolve() for picture in pictures}
    if lost or folder.is_file():
        raise InputError(
            "annotated pictures would replace what is there",
            expected="a folder of their own for --save",
            got=f"would replace {min(lost, default=folder)}",
            fix="name another folder with --save",
        )
    return targets
