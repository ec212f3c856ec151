"""What the agent counts of itself, for its account and its metrics."""

from __future__ import annotations

from dataclasses import asdict
from math import ceil
from typing import Any

from edgemill_agent.line.station import Station
from edgemill_core.processes.own_memory import resident_bytes


def station_figures(station: Station) -> dict[str, Any]:
    """Counts since the agent was started, and milliseconds from arrival to verdict of the last 10,000 parts."""
    account = station.account
    ordered = sorted(account.latencies_ms)

    def percentile(share: float) -> float | None:
        return round(ordered[ceil(share * len(ordered)) - 1], 3) if ordered else None

    return {
        "verdicts": sum(account.decisions.values()),
        "decisions": dict(account.decisions),
        "late": account.late,
        "safe": account.safe,
        "unfit": account.unfit,
        "missed": account.missed,
        "untold": account.untold,
        "captured": account.captured,
        "dropped": account.dropped,
        "reconnects": account.reconnects,
        "p50": percentile(0.50),
        "p99": percentile(0.99),
        "engine_restarts": station.engines.restarts,
        "source_restarts": station.source.restarts,
        "shadow": asdict(station.engines.challenger.account),
    }


def resident_megabytes() -> float:
    """Resident memory of this process, MB of 2^20 bytes."""
    return round(resident_bytes() / (1 << 20), 1)
