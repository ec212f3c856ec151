"""``edgemill demo``: from a trained model to verdicts, with everything to look at in one folder."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemill.cli.output import print_json, print_line, progress
from edgemill_core.errors import InputError, MissingPartError

if TYPE_CHECKING:
    from edgemill.demo.agent_line import AgentLine
    from edgemill.demo.market_risk import Backtest

_NEEDS = {
    "arch": "demo",
    "cv2": "demo",
    "iotcore": "demo",
    "lightgbm": "demo",
    "paho": "demo",
    "onnx": "demo",
    "onnxruntime": "demo",
    "openvino": "demo",
    "skimage": "demo",
    "PIL": "demo",
}
_OURS = ("data", "line", "lot-code-1.0.0", "risk", "market-risk-1.0.0", "state", "consumer")
_MARK = ".edgemill-demo"


def run(headless: bool, json: bool, parts: int, seed: int, out: Path, broker: str | None) -> None:
    """Generate labels, build and judge two bundles, let an agent run both stations, write reports and pictures."""
    _check_parts()
    _claim(out)
    from edgemill.demo import market_risk
    from edgemill.demo.agent_line import run_agent_line
    from edgemill.demo.backtest_sheet import write_backtest
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
        all_days = market_risk.read_days()
        risk = market_risk.build_market_risk(out, all_days, tell)
        days = market_risk.write_requests(out, all_days)
    assert result.bundle is not None
    assert risk.bundle is not None
    shown = not headless and sys.stderr.isatty()
    watcher: AbstractContextManager[Callable[[Part], None]] = live_table(parts) if shown else nullcontext(_unseen)
    with watcher as seen:
        line = run_agent_line(out, [result.bundle, risk.bundle], samples, days, settings, seen)
    sheet = write_sheet(line.parts, out / "contact-sheet.png")
    found = market_risk.backtest(days, line.risk)
    drawing = write_backtest(days, line.risk, found, out / "backtest.png")
    summary = {**line_summary(line.parts), **line.as_dict(), "seed": seed}
    summary["stations"][market_risk.STATION] |= found.as_dict()
    summary["bundles"] = [bundle_summary(result), bundle_summary(risk)]
    if json:
        files = {"report": result.report, "contact_sheet": sheet, "risk_report": risk.report, "backtest": drawing}
        print_json({**summary, **{name: str(path) for name, path in files.items()}})
        return
    from edgemill.cli.build import print_variants

    print_variants(result)
    print_variants(risk)
    _print_summary(summary, line, found)
    print_line(f"bundles {result.bundle.folder}  {risk.bundle.folder}")
    print_line(f"reports {result.report}  {risk.report}")
    print_line(f"sheets  {sheet}  {drawing}")


def _unseen(_: object) -> None:
    """Nobody watches the line."""


def _print_summary(summary: dict[str, Any], line: AgentLine, found: Backtest) -> None:
    latency = summary["verdict_ms"]
    print_line()
    print_line(
        f"{summary['parts']} parts, {summary['readable']} of them good: {summary['escapes']} escapes, "
        f"{summary['overkill']} overkill; a verdict takes {latency['p50']:.1f} ms (p99 {latency['p99']:.1f} ms)"
    )
    print_line(
        f"killed meanwhile: {line.worker_kills} engine worker, {line.broker_kills} broker; "
        f"{line.produced} produced = {line.delivered} delivered + {line.declared_lost} declared lost"
    )
    print_line(
        f"{found.days:,} days of market risk replayed: {found.exceptions} lost more than the value at risk at 99 %, "
        f"{found.expected:.1f} expected (Kupiec p {found.kupiec_p:.2g})"
    )


def _check_parts() -> None:
    missing = [module for module in _NEEDS if find_spec(module) is None]
    if missing:
        raise MissingPartError(
            "the demo needs packages that are not installed",
            expected=", ".join(_NEEDS),
            got=f"no {', '.join(missing)}",
            fix="pip install 'edgemill[demo]' && pip install --no-deps rapidocr==3.10.0 arch==8.0.0, or `make demo`",
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
