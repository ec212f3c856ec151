"""Returns against the value at risk that was forecast for them, as one PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edgemill.demo.market_risk import Backtest, Day
from edgemill_core.durable import write_bytes

_RETURN, _VAR, _ES, _MISS = "#9aa5b1", "#0072b2", "#56b4e9", "#b02a1c"


def write_backtest(
    days: Sequence[Day], readings: Mapping[str, Mapping[str, object]], found: Backtest, path: Path
) -> Path:
    """Draw every replayed day: return, value at risk and expected shortfall at 99 %, and the exceptions in red."""
    from matplotlib.figure import Figure

    told = [(day, readings[day.day.isoformat()]) for day in days if "var_99" in readings.get(day.day.isoformat(), {})]
    when = np.array([day.day for day, _ in told])
    returns = np.array([day.outcome for day, _ in told])
    var, es = (np.array([float(str(reading[name])) for _, reading in told]) for name in ("var_99", "es_99"))
    missed = returns < -var
    figure = Figure(figsize=(13, 5), layout="constrained")
    axes = figure.subplots()
    axes.vlines(when, 0, returns, color=_RETURN, linewidth=0.6, label="return of the next day")
    axes.plot(when, -var, color=_VAR, linewidth=1, label="− value at risk, 99 %")
    axes.plot(when, -es, color=_ES, linewidth=0.8, label="− expected shortfall, 99 %")
    axes.plot(when[missed], returns[missed], "o", color=_MISS, markersize=5, label="exception")
    axes.set_ylabel("percent")
    axes.set_title(
        f"S&P 500, {found.days:,} held-out days: {found.exceptions} exceptions, {found.expected:.1f} expected "
        f"(Kupiec p {found.kupiec_p:.2g})",
        loc="left",
    )
    axes.legend(loc="lower right", ncols=4, frameon=False)
    axes.grid(visible=True, alpha=0.3)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    write_bytes(path, content.getvalue())
    return path
