"""The held-out parts through an agent, as a line would bring them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import yaml

from edgemill_agent.ledger import LedgerView
from edgemill_core.ledger import Kind


@dataclass(frozen=True)
class Replayed:
    """What the box's ledger says: how many parts of each decision, and whether the chain of records is whole."""

    verdicts: dict[str, int]
    whole: bool


def replay(bundle: Path, pictures: Path, out: Path) -> Replayed:
    """Run a box with one station until every picture has its verdict."""
    out.mkdir(parents=True)
    station = {
        "name": "boards",
        "bundle": str(bundle.resolve()),
        "source": {"folder": str(pictures.resolve()), "once": True},
        "evidence": {"keep": ["uncertain"]},
    }
    agent = out / "agent.yaml"
    agent.write_text(yaml.safe_dump({"device": {"id": "pcb"}, "stations": [station]}))
    _edgemill("agent", "run", agent)
    view = LedgerView.open(out / "state")
    try:
        decisions = Counter(record.header.decision for record in view.of_kind(Kind.VERDICT))
        return Replayed(dict(sorted(decisions.items())), view.verify() is None)
    finally:
        view.close()


def draw(bundle: Path, pictures: list[Path], into: Path) -> None:
    """What the bundle finds, drawn into the pictures."""
    _edgemill("run", bundle, *pictures, "--save", into)


def _edgemill(*told: object) -> None:
    """The command, as a user would run it; complaints go to stderr."""
    command = [sys.executable, "-m", "edgemill", *map(str, told)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
