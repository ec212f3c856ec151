"""``edgemill run``: verdicts on pictures."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from edgemill.cli.output import print_json, print_line
from edgemill_core.bundle import Bundle, open_bundle
from edgemill_core.codes import read_codes
from edgemill_core.errors import EdgemillError, InputError
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


@dataclass(frozen=True)
class _Row:
    picture: Path
    verdict: Verdict | None
    error: EdgemillError | None
    milliseconds: float

    def as_dict(self) -> dict[str, object]:
        said = self.verdict.as_dict() if self.verdict else self.error.as_dict() if self.error else {}
        return {"picture": str(self.picture), **said, "ms": round(self.milliseconds, 3)}


def run(settings: RunSettings) -> None:
    """A verdict for every picture; one that cannot be read is reported, the others go on, and the exit code is 2."""
    bundle = open_bundle(settings.bundle)
    codes = read_codes(settings.labels) if settings.labels else {}
    pictures = list(_pictures(settings.pictures))
    rows = []
    targets = _targets(settings.save, pictures) if settings.save else {}
    with open_pipeline(bundle, settings.runtime) as pipeline:
        for picture in pictures:
            expected = codes.get(picture.name, settings.expect)
            row = _one(pipeline, bundle, picture, {"expected": expected} if expected else {}, targets.get(picture))
            rows.append(row)
            if not settings.json:
                _print_row(row)
        runtime = pipeline.engine.runtime
    if settings.json:
        print_json({"bundle": str(settings.bundle), "runtime": runtime, "verdicts": [row.as_dict() for row in rows]})
    if any(row.error for row in rows):
        sys.exit(InputError.exit_code)


def _one(pipeline: Pipeline, bundle: Bundle, picture: Path, context: dict[str, str], target: Path | None) -> _Row:
    start = time.perf_counter()
    try:
        frame = read_picture(picture)
        verdict = pipeline(frame, context)
    except InputError as error:
        return _Row(picture, None, error, (time.perf_counter() - start) * 1e3)
    elapsed = (time.perf_counter() - start) * 1e3
    if target is not None:
        annotate(frame, bundle.model.input.region, verdict, target)
    return _Row(picture, verdict, None, elapsed)


def _print_row(row: _Row) -> None:
    if row.verdict is None:
        print_line(f"error      {row.picture}\n{row.error}")
        return
    said = "; ".join(row.verdict.reasons) or str(dict(row.verdict.reading).get("text", ""))
    print_line(f"{row.verdict.decision.value:<10} {row.picture}  {said}  ({row.milliseconds:.1f} ms)")


def _pictures(given: tuple[Path, ...]) -> Iterator[Path]:
    for path in given:
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
            if not found:
                raise InputError(
                    f"there is no picture in {path}",
                    expected=f"files ending in {', '.join(sorted(SUFFIXES))}",
                    got="none",
                    fix="name another folder",
                )
            yield from found
        else:
            yield path


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
