"""``edgemill agent``: the daemon on the box."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from edgemill.cli.output import print_json, print_line
from edgemill_agent.line.line import run_agent
from edgemill_agent.settings import read_settings


def run(settings: Path, json: bool) -> None:
    """Run until every source has ended or a signal says stop, then give the account."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s")
    account = run_agent(read_settings(settings))
    if json:
        print_json(account)
        return
    for name, station in account["stations"].items():
        print_line(_station(name, station))
    ledger = account["ledger"]
    print_line(f"ledger: {ledger['position']} records, {ledger['acknowledged']} of them acknowledged")


def _station(name: str, found: dict[str, Any]) -> str:
    decisions = ", ".join(f"{count} {decision}" for decision, count in sorted(found["decisions"].items()))
    took = f"; p50 {found['p50']:.1f} ms, p99 {found['p99']:.1f} ms" if found["p50"] is not None else ""
    return f"{name}: {found['verdicts']} verdicts ({decisions or 'none'}), {found['late']} late{took}"
