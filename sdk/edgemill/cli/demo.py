"""``edgemill demo``: from a trained model to verdicts, with everything to look at in one folder."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from edgemill.cli.output import print_json, print_line, progress
from edgemill_core.errors import InputError, MissingPartError

if TYPE_CHECKING:
    from edgemill.demo.agent_line import AgentLine

_NEEDS = {
    "cv2": "demo",
    "iotcore": "demo",
    "paho": "demo",
    "onnx": "demo",
    "onnxruntime": "demo",
    "openvino": "demo",
    "skimage": "demo",
    "PIL": "demo",
}
_OURS = ("data", "line", "lot-code-1.0.0", "state", "consumer")
_MARK = ".edgemill-demo"


def run(headless: bool, json: bool, parts: int, seed: int, out: Path, broker: str | None) -> None:
    """Generate labels, build and judge the bundle, let an agent run the line, write report and contact sheet."""
    _check_parts()
    _claim(out)
    from edgemill.demo.agent_line import run_agent_line
    from edgemill.demo.line import Part, line_summary
    from edgemill.demo.live import live_table
    from edgemill.demo.lot_code import SetSizes, build_lot_code, make_sets
    from edgemill.demo.sheet import write_sheet
    from edgemill.summary import bundle_summary
    from edgemill_link.broker_settings import broker_at

    settings = broker_at(broker) if broker else None

    with progress() as tell:
        tell("printing labels")
        samples = make_sets(out, SetSizes(), parts, seed)
        result = build_lot_code(out, tell)
    assert result.bundle is not None
    shown = not headless and sys.stderr.isatty()
    watcher: AbstractContextManager[Callable[[Part], None]] = live_table(parts) if shown else nullcontext(_unseen)
    with watcher as seen:
        line = run_agent_line(out, result.bundle, samples, settings, seen)
    sheet = write_sheet(line.parts, out / "contact-sheet.png")
    summary = {**line_summary(line.parts), **line.as_dict(), "seed": seed, "bundles": [bundle_summary(result)]}
    if json:
        print_json({**summary, "report": str(result.report), "contact_sheet": str(sheet)})
        return
    from edgemill.cli.build import print_variants

    print_variants(result)
    _print_summary(summary, line, [result.bundle.folder, result.report, sheet])


def _unseen(_: object) -> None:
    """Nobody watches the line."""


def _print_summary(summary: dict[str, object], line: AgentLine, files: Sequence[Path]) -> None:
    latency = summary["verdict_ms"]
    assert isinstance(latency, dict)
    print_line()
    print_line(
        f"{summary['parts']} parts, {summary['readable']} of them good: {summary['escapes']} escapes, "
        f"{summary['overkill']} overkill; a verdict takes {latency['p50']:.1f} ms (p99 {latency['p99']:.1f} ms)"
    )
    print_line(
        f"killed meanwhile: {line.worker_kills} engine worker, {line.broker_kills} broker; "
        f"{line.produced} produced = {line.delivered} delivered + {line.declared_lost} declared lost"
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
