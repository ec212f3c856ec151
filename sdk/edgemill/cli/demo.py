"""``edgemill demo``: from a trained model to verdicts, with everything to look at in one folder."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from pathlib import Path

from edgemill.cli.output import print_json, print_line, progress
from edgemill_core.errors import InputError, MissingPartError

_NEEDS = {"cv2": "demo", "onnx": "demo", "onnxruntime": "demo", "openvino": "demo", "skimage": "demo", "PIL": "demo"}
_OURS = ("data", "line", "lot-code-1.0.0")
_MARK = ".edgemill-demo"


def run(headless: bool, json: bool, parts: int, seed: int, out: Path) -> None:
    """Generate labels, build and judge the bundle, run the line, write report and contact sheet."""
    _check_parts()
    _claim(out)
    from edgemill.demo.line import Part, line_summary, run_line
    from edgemill.demo.live import live_table
    from edgemill.demo.lot_code import SetSizes, build_lot_code, make_sets
    from edgemill.demo.sheet import write_sheet
    from edgemill.summary import bundle_summary
    from edgemill_runtimes.pipeline import open_pipeline

    with progress() as tell:
        tell("printing labels")
        samples = make_sets(out, SetSizes(), parts, seed)
        result = build_lot_code(out, tell)
    assert result.bundle is not None
    shown = not headless and sys.stderr.isatty()
    watcher: AbstractContextManager[Callable[[Part], None]] = live_table(parts) if shown else nullcontext(_unseen)
    with open_pipeline(result.bundle) as pipeline, watcher as seen:
        line = run_line(pipeline, samples, seen)
    sheet = write_sheet(line, out / "contact-sheet.png")
    summary = {**line_summary(line), "seed": seed, "bundles": [bundle_summary(result)]}
    if json:
        print_json({**summary, "report": str(result.report), "contact_sheet": str(sheet)})
        return
    from edgemill.cli.build import print_variants

    print_variants(result)
    _print_summary(summary, [result.bundle.folder, result.report, sheet])


def _unseen(_: object) -> None:
    """Nobody watches the line."""


def _print_summary(summary: dict[str, object], files: Sequence[Path]) -> None:
    latency = summary["verdict_ms"]
    assert isinstance(latency, dict)
    print_line()
    print_line(
        f"{summary['parts']} parts, {summary['readable']} of them good: {summary['escapes']} escapes, "
        f"{summary['overkill']} overkill; a verdict takes {latency['p50']:.1f} ms (p99 {latency['p99']:.1f} ms)"
    )
    for label, file in zip(("bundle", "report", "sheet"), files, strict=True):
        print_line(f"{label:<7} {file}")


def _check_parts() -> None:
    missing = [module for module in _NEEDS if find_spec(module) is None]
    if missing:
        raise MissingPartError(
            "the demo needs packages that are not installed",
            expected=", ".join(_NEEDS),
            got=f"no {', '.join(missing)}",
            fix="pip install 'edgemill[demo]' && pip install --no-deps rapidocr==3.10.0, or run `make demo`",
        )


def _claim(out: Path) -> None:
    """Make ``out`` ours: new, empty, or left by an earlier demo, whose things are removed."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / _MARK).is_file())):
        raise InputError(
            f"{out} holds something that the demo did not make",
            expected="a new or empty folder, or one of an earlier demo",
            got="other files" if out.is_dir() else "a file",
            fix="name another folder with --out",
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / _MARK).touch()
    for name in _OURS:
        shutil.rmtree(out / name, ignore_errors=True)
