"""Parts that benchmarks share: brokers and cameras, those of the tests, and a look at a ledger that is written to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "parts"))
from brokers import MOSQUITTO, best_broker
from cameras import Babbler, Camera

from edgemill_agent.ledger import LedgerView
from edgemill_core.errors import LedgerError

__all__ = ["MOSQUITTO", "Babbler", "Camera", "recorded", "running_broker"]


def recorded(state: Path) -> int:
    """Records in the ledger; none while it is being made."""
    try:
        view = LedgerView.open(state)
    except LedgerError:
        return 0
    try:
        return view.last()[0]
    finally:
        view.close()


@contextmanager
def running_broker(folder: Path) -> Iterator[str]:
    """URL of a broker: mosquitto with its default limits where installed, else the embedded one."""
    broker = best_broker(folder)
    broker.start()
    try:
        yield broker.url
    finally:
        broker.close()
