"""Parts that benchmarks share with the tests: real brokers, real cameras."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "parts"))
from brokers import MOSQUITTO, best_broker
from cameras import Babbler, Camera

__all__ = ["MOSQUITTO", "Babbler", "Camera", "running_broker"]


@contextmanager
def running_broker(folder: Path) -> Iterator[str]:
    """URL of a broker: mosquitto with its default limits where installed, else the embedded one."""
    broker = best_broker(folder)
    broker.start()
    try:
        yield broker.url
    finally:
        broker.close()
