"""The market-risk job: one day ahead, how much can the S&P 500 lose? Trained here, in seconds, on ``arch``'s data."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from edgemill_converters.build import build
from edgemill_converters.result import BuildResult
from edgemill_core.errors import MissingPartError
from edgemill_core.statistics import kupiec_p_value

STATION = "market-risk"
LEVELS = (0.005, 0.01, 0.0175, 0.025)
JUDGE_FROM, REPLAY_FROM = 2009, 2011
"""Years: trained before the first, judged from there to the second, replayed from then on."""
_DECAY, _LONGEST = 0.94, 63
"""RiskMetrics' decay of the daily variance (J.P. Morgan 1996), and the days that the longest feature looks back."""
_TRAINING = {
    "objective": "quantile",
    "num_leaves": 4,
    "learning_rate": 0.05,
    "min_data_in_leaf": 100,
    "deterministic": True,
    "num_threads": 1,
    "seed": 1,
    "verbose": -1,
}
_TREES = 60


@dataclass(frozen=True)
class Day:
    """One forecast.

    Attributes:
        day: at whose close it is made.
        features: by name; ``volatility`` in percent, the others relative to it.
        outcome: the next day's return in percent, which the model never sees.
    """

    day: date
    features: Mapping[str, float]
    outcome: float


@dataclass(frozen=True)
class Backtest:
    """What came of the forecasts, at 99 %."""

    days: int
    exceptions: int

    @property
    def expected(self) -> float:
        """Exceptions of a model that is right."""
        return round(0.01 * self.days, 2)

    @property
    def kupiec_p(self) -> float:
        """Whether the count fits."""
        return kupiec_p_value(self.exceptions, self.days, 0.01)

    def as_dict(self) -> dict[str, object]:
        """JSON-ready form."""
        return {
            "days": self.days,
            "exceptions": self.exceptions,
            "expected": self.expected,
            "kupiec_p": round(self.kupiec_p, 6),
        }


def backtest(days: Sequence[Day], readings: Mapping[str, Mapping[str, object]]) -> Backtest:
    """Count the days that lost more than their value at risk; ``readings`` are verdicts' by ISO date."""
    told = [(day, readings[day.day.isoformat()]) for day in days if "var_99" in readings.get(day.day.isoformat(), {})]
    return Backtest(len(told), sum(-day.outcome > float(str(reading["var_99"])) for day, reading in told))


def read_days() -> list[Day]:
    """Every day of the S&P 500 in the package ``arch``, 1999 to 2018, that has its features and a next day.

    Raises:
        MissingPartError: the package is not installed.
    """
    spec = find_spec("arch")
    if spec is None or spec.origin is None:
        raise MissingPartError(
            "the package that ships the S&P 500 returns is not installed",
            expected="arch with data/sp500/sp500.csv.gz",
            got="no such package",
            fix="pip install --no-deps arch, or run `make demo`",
        )
    with gzip.open(Path(spec.origin).parent / "data" / "sp500" / "sp500.csv.gz", "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    dates = [datetime.strptime(row["Date"], "%m/%d/%Y").date() for row in rows]
    high, low, close = (np.array([float(row[name]) for row in rows]) for name in ("High", "Low", "Adj Close"))
    returns, ranges = 100 * np.diff(np.log(close)), 100 * np.log(high / low)[1:]
    volatility = _volatility(returns)
    return [
        Day(dates[t + 1], _features(returns, ranges, volatility, t), float(returns[t + 1]))
        for t in range(_LONGEST, len(returns) - 1)
    ]


def _volatility(returns: NDArray[np.float64]) -> NDArray[np.float64]:
    variance = np.empty_like(returns)
    variance[0] = np.var(returns[:_LONGEST])
    for t in range(1, len(returns)):
        variance[t] = _DECAY * variance[t - 1] + (1 - _DECAY) * returns[t] ** 2
    return np.asarray(np.sqrt(variance), np.float64)


def _features(
    returns: NDArray[np.float64], ranges: NDArray[np.float64], volatility: NDArray[np.float64], t: int
) -> dict[str, float]:
    def last(days: int, of: NDArray[np.float64] = returns) -> NDArray[np.float64]:
        return of[t - days + 1 : t + 1]

    scale = float(volatility[t])
    relative = {
        "return_0": returns[t],
        "return_1": returns[t - 1],
        "return_2": returns[t - 2],
        "deviation_5": last(5).std(),
        "deviation_21": last(21).std(),
        "deviation_63": last(63).std(),
        "sum_5": last(5).sum(),
        "sum_21": last(21).sum(),
        "range_5": last(5, ranges).mean(),
        "downside_21": np.minimum(last(21), 0).std(),
    }
    return {"volatility": scale, **{name: float(value) / scale for name, value in relative.items()}}


def build_market_risk(out: Path, days: Sequence[Day], progress: Callable[[str], None]) -> BuildResult:
    """Train a quantile model per level on the years before the judge's, and build the bundle."""
    folder = out / "risk"
    folder.mkdir(parents=True, exist_ok=True)
    progress("training the quantile models")
    files = [_train(folder, level, [day for day in days if day.day.year < JUDGE_FROM]) for level in LEVELS]
    _write_table(folder / "judge.csv", [d for d in days if JUDGE_FROM <= d.day.year < REPLAY_FROM], outcomes=True)
    recipe = {
        "name": STATION,
        "version": "1.0.0",
        "task": {"name": "market-risk", "levels": list(LEVELS)},
        "model": {"file": files, "scaled_by": "volatility"},
        "input": {"features": [{"name": "volatility", "unit": "%", "min": 0.0}, *list(days[0].features)[1:]]},
        "data": {"judge": {"rows": "judge.csv"}},
        "budget": [{"metric": "pinball_loss", "max_drop": 0.01, "confidence": 0.95}],
        "targets": [{"runtime": "onnxruntime", "precisions": ["fp64"]}],
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return build(path, out, progress=progress)


def write_requests(out: Path, days: Sequence[Day]) -> list[Day]:
    """Write what the station is asked, one line a day of the held-out years; returns these days."""
    held_out = [day for day in days if day.day.year >= REPLAY_FROM]
    _write_table(out / "risk" / "requests.csv", held_out, outcomes=False)
    return held_out


def _train(folder: Path, level: float, days: Sequence[Day]) -> str:
    import lightgbm

    rows = np.array([list(day.features.values()) for day in days])
    # Returns are divided by the volatility of the day, so that trees grown in calm years say something in wild ones.
    targets = np.array([day.outcome / day.features["volatility"] for day in days])
    data = lightgbm.Dataset(rows, targets, feature_name=list(days[0].features))
    model = lightgbm.train({**_TRAINING, "alpha": level}, data, _TREES)
    name = f"quantile-{level:g}.txt"
    model.save_model(folder / name)
    return name


def _write_table(path: Path, days: Sequence[Day], outcomes: bool) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["day", *days[0].features, *(["outcome"] if outcomes else [])])
        for day in days:
            numbers = [*day.features.values(), *([day.outcome] if outcomes else [])]
            writer.writerow([day.day.isoformat(), *map(repr, numbers)])
