"""Ninety simulated days without a broker and with a small quota, then delivery.

A verdict every 20 s, metrics every quarter of an hour, a kept frame for every 500th part, on a clock that is moved by
hand; everything else is real: ledger, disk, frames' files, broker, consumer in a process of its own.
"""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from form import Row, at_most, main, stated
from parts import MOSQUITTO, running_broker

from edgemill_agent.clock import Clock
from edgemill_agent.ledger import Ages, Entry, Ledger, LedgerView, open_ledger
from edgemill_core.ledger import EVICTED_FIRST, Kind, Ranges
from edgemill_link.broker_settings import BrokerSettings
from edgemill_link.consumer_store import ConsumerStore
from edgemill_link.publisher import Publisher

DAYS, EVERY_S, GROUP, QUOTA = 90, 20, 45, 176 << 20
FRAME_BYTES, FRAME_EVERY = 60_000, 500
VERDICT = {"decision": "pass", "reasons": [], "confidence": 0.99, "reading": {"text": "L7K42B 2027-05"}}
AGES = Ages(dict.fromkeys(EVICTED_FIRST, 1e12), 1e12)


class MovedClock(Clock):
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = time.time_ns()

    def utc_ns(self) -> int:
        return self.now_ns

    def monotonic_ns(self) -> int:
        return self.now_ns


def keep_frame(ledger: Ledger, number: int, rng: random.Random) -> None:
    if not ledger.reserve_room(FRAME_BYTES):
        return
    name, content = f"evidence/s/{number:012d}.png", rng.randbytes(FRAME_BYTES)
    (ledger.folder / name).parent.mkdir(parents=True, exist_ok=True)
    (ledger.folder / name).write_bytes(content)
    ledger.release_room(FRAME_BYTES)
    body = {"number": number, "file": name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": FRAME_BYTES}
    ledger.append([Entry(Kind.EVIDENCE, body, station="s", file=name, file_bytes=FRAME_BYTES)])


def disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def live(ledger: Ledger, clock: MovedClock) -> tuple[int, int]:
    """Ninety days; returns how many verdicts were recorded, and the largest size seen on the disk."""
    rng, number, peak = random.Random(1), 0, 0
    for quarter in range(DAYS * 96):
        clock.now_ns += 900 * 10**9
        group = range(number + 1, number + GROUP + 1)
        body = {"context": {"expected": "L7K42B 2027-05"}, "verdict": VERDICT, "ms": 25.0, "engine_ms": 20.0}
        ledger.append(
            [Entry(Kind.VERDICT, {"item": f"{n:09d}.png", **body}, n, "s", "pass", f"{n:09d}.png") for n in group]
        )
        number = group[-1]
        ledger.append([Entry(Kind.METRICS, {"stations": {"s": {"verdicts": number, "p50": 20.0}}, "line_mb": 50.0})])
        if number // FRAME_EVERY > (number - GROUP) // FRAME_EVERY:
            keep_frame(ledger, number, rng)
        if quarter % 4 == 0:
            ledger.keep_house(3600, AGES, delivered=True, numbers_from=0)
        if quarter % 16 == 0:
            peak = max(peak, disk(ledger.folder))
            print(f"  day {quarter // 96}", file=sys.stderr) if quarter % 960 == 0 else None
    return number, max(peak, disk(ledger.folder))


def against_the_policy(view: LedgerView) -> int:
    """Evictions of something while there was still something that goes before it."""
    here = dict.fromkeys(EVICTED_FIRST, 0)
    wrong = 0
    for record in view.records():
        kind = record.header.kind
        if kind in here:
            here[kind] += 1
        if kind is Kind.EVICTED and record.payload is not None:
            told = record.payload.content()
            what = Kind(told["what"])
            here[what] -= told["count"]
            wrong += any(here[before] for before in EVICTED_FIRST[: EVICTED_FIRST.index(what)])
    return wrong


def deliver(folder: Path, view: LedgerView, url: str) -> float:
    """Seconds until the consumer has acknowledged everything."""
    command = ["ledger", "consume", "--broker", url, "--store", str(folder / "consumer.db")]
    consumer = subprocess.Popen([sys.executable, "-m", "edgemill", *command], stdout=subprocess.DEVNULL)
    publisher = Publisher("outage", view, BrokerSettings(url=url), {}, lambda _: None)
    start = time.perf_counter()
    while not publisher.all_acknowledged():
        publisher.step()
    took = time.perf_counter() - start
    publisher.stop()
    consumer.terminate()
    consumer.wait()
    return took


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as scratch:
        folder, clock = Path(scratch), MovedClock()
        ledger, _ = open_ledger(folder / "state", clock, QUOTA)
        produced, peak = live(ledger, clock)
        view = LedgerView.open(folder / "state")
        records, wrong, whole = view.last()[0], against_the_policy(view), view.verify() is None
        with running_broker(folder) as url:
            took = deliver(folder, view, url)
        store = ConsumerStore(folder / "consumer.db")
        account = store.accounts()["outage", view.id]
        positions = Ranges(record.header.position for record in store.records("outage", view.id))
        gone = sum(record.payload is None for record in store.records("outage", view.id))
        store.close()
        ledger.close()
    case = f"outage, {DAYS} days, {'mosquitto' if MOSQUITTO else 'embedded broker'}"
    return [
        at_most(case, "largest size on the disk", "MB", peak / 2**20, QUOTA / 2**20, 1),
        at_most(case, "evictions against the policy", "evictions", wrong, 0, 1),
        at_most(case, "chain not whole", "chains", 1 - whole, 0, 1),
        at_most(case, "produced - delivered", "verdicts", abs(produced - account.delivered), 0, 1),
        at_most(case, "records that are missing or out of order", "records", records - len(positions), 0, 1),
        stated(case, "records", "records", records, 1),
        stated(case, "of them without payload, as declared", "records", gone, 1),
        stated(case, "catch-up rate", "records/s", records / took, 1),
    ]


if __name__ == "__main__":
    main(measure)
