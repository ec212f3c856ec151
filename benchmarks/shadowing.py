"""How often is a release stopped while it looks on, by how often it decides otherwise? 2,000 of each.

Each challenger is a made-up ledger, counted as an update counts a real one. ``exact``, and the reference, are without
chance: what the test does at that rate, summed over all its courses. In the last case disputes come in streaks, which
the test does not expect.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import numpy as np
from form import Row, at_least, at_most, main, stated
from numpy.typing import NDArray

from edgemill_agent.settings import ShadowSettings, StationSettings
from edgemill_agent.updating.shadowing import shadowed
from edgemill_agent.updating.states import Event
from edgemill_core.ledger import Header, Kind, Payload, Record

CHALLENGERS = 2000
SHADOW = ShadowSettings()
SIGMAS = 3
STREAK = 5
STATION = StationSettings.model_validate(
    {"name": "cell", "bundle": "release:b", "source": {"folder": "x"}, "swap": {"shadow": SHADOW.model_dump()}}
)


def record(kind: Kind, told: dict[str, object]) -> Record:
    payload = Payload(b"", json.dumps(told).encode())
    return Record(Header(1, 0, kind, "cell", "", 0, "b", 0, payload.digest), "", payload)


LOOKS_ON = record(Kind.SWAP, {"outcome": "looks on", "role": "challenger", "to": {"digest": "new", "engine": "e"}})
SAID = {one: record(Kind.SHADOW, {"number": 1, "disputed": one, "engine": "e"}) for one in (False, True)}


def ledger(disputes: NDArray[np.bool_]) -> Iterator[Record]:
    yield LOOKS_ON
    yield from (SAID[bool(one)] for one in disputes)


def stopped(rate: float, streak: int, seed: int) -> tuple[float, list[int]]:
    """Share of the challengers that are refused, in %, and after how many parts each was decided."""
    rng, most = np.random.default_rng(seed), SHADOW.test.most
    refused, parts = 0, []
    for _ in range(CHALLENGERS):
        begins = rng.random(most) < rate / streak
        disputes = np.convolve(begins, np.ones(streak))[:most] > 0
        found = shadowed(ledger(disputes), "new", "", [STATION])
        assert found.outcome is not None
        refused += found.outcome.event is Event.DISAGREES
        parts.append(found.stations["cell"].at.seen)
    return 100 * refused / CHALLENGERS, parts


def noise(share: float) -> float:
    """In %, how far a share may be off by chance."""
    return 100 * SIGMAS * float((share * (1 - share) / CHALLENGERS) ** 0.5)


def measure() -> list[Row]:
    test, error, rows = SHADOW.test, SHADOW.errors, []
    for seed, rate in enumerate((0.0, 0.005, SHADOW.most_disagreement, 0.02, 0.03, SHADOW.stop_at, 0.1)):
        case, exact = f"disagrees {rate:.1%}", test.characteristic(rate)
        share, parts = stopped(rate, 1, seed)
        if rate == SHADOW.most_disagreement:
            rows.append(at_most(case, "refused", "%", share, 100 * error + noise(error), CHALLENGERS))
            rows.append(at_most(case, "refused, exact", "%", 100 * exact.high, 100 * error, 1))
        elif rate == SHADOW.stop_at:
            rows.append(at_least(case, "refused", "%", share, 100 * (1 - error) - noise(error), CHALLENGERS))
            rows.append(at_least(case, "refused, exact", "%", 100 * exact.high, 100 * (1 - error), 1))
        else:
            rows.append(stated(case, "refused", "%", share, CHALLENGERS, round(100 * exact.high, 3)))
        rows.append(at_most(case, "parts until it is decided, most", "parts", max(parts), test.most, CHALLENGERS))
        mean, expected = float(np.mean(parts)), round(exact.samples, 2)
        rows.append(stated(case, "parts until it is decided, mean", "parts", mean, CHALLENGERS, expected))
    for seed, rate in enumerate((SHADOW.most_disagreement, SHADOW.stop_at), start=20):
        share, _ = stopped(rate, STREAK, seed)
        rows.append(stated(f"disagrees {rate:.1%}, {STREAK} at a time", "refused", "%", share, CHALLENGERS))
    return [*rows, _counted_anew(test.most)]


def _counted_anew(most: int) -> Row:
    disputes = np.zeros(most, np.bool_)
    disputes[::60] = True  # so that it takes long
    begun = time.perf_counter()
    for _ in range(20):
        shadowed(ledger(disputes), "new", "", [STATION])
    return at_most("all parts of a test", "time to count them anew", "ms", (time.perf_counter() - begun) * 50, 100, 20)


if __name__ == "__main__":
    main(measure)
