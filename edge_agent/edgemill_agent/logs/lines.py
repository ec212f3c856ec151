"""How a record of the log reads: for people, or one JSON object a line."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import datetime, timezone

from edgemill_core.secrets import masked

LEAST_SECRET = 4
"""Characters; what is shorter would be found in every other word."""


class TextLines(logging.Formatter):
    """``time level message``, local time."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")
        self._secrets = _worth_hiding(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """The line, with the worker in front whose output it is."""
        said = super().format(record)
        worker = getattr(record, "output_of", "")
        said = said.replace(record.message, f"{worker}: {record.message}", 1) if worker else said
        return masked(said, self._secrets)


class JsonLines(logging.Formatter):
    """``time`` (UTC), ``level``, ``logger``, ``message``, ``device``, ``process``; ``station``, ``number`` where known.

    Args:
        device: the box's id.
        secrets: what must not be read in any line.
    """

    def __init__(self, device: str, secrets: Sequence[str] = ()) -> None:
        super().__init__()
        self._device = device
        self._secrets = _worth_hiding(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """The object."""
        worker = getattr(record, "output_of", "") or getattr(record, "worker", "")
        station = getattr(record, "station", "") or (worker.rpartition("/")[0] if "/" in worker else "")
        number = getattr(record, "number", None)
        told = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": masked(record.getMessage(), self._secrets),
            "device": self._device,
            "process": worker or "line",
            **({"station": station} if station else {}),
            **({"number": number} if number is not None else {}),
        }
        if record.exc_info:
            told["exception"] = masked(self.formatException(record.exc_info), self._secrets)
        return json.dumps(told, ensure_ascii=False)


def _worth_hiding(secrets: Sequence[str]) -> tuple[str, ...]:
    return tuple(secret for secret in secrets if len(secret) >= LEAST_SECRET)
