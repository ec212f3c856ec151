"""The fleet manager's store: intake through a real mosquitto, durable before it is acknowledged, and the steward.

Records of 200 bytes come in messages of 50 from 40 boxes, all of which one process plays; SQLite with one intake,
PostgreSQL with two. The steward asks and signs for 10,000. What connections with TLS cost
is not in here.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from form import Row, at_least, main, stated

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "parts"))
from brokers import MOSQUITTO, Mosquitto
from fleet_databases import PostgresServer
from fleet_rows import Ledger, add_devices, add_release, begin_rollout
from release_keys import Keys, make_repository

from edgemill_core.ledger import Kind
from edgemill_fleet.rollouts.signing import PlanSigner
from edgemill_fleet.rollouts.steward import Steward
from edgemill_fleet.store.database import open_database
from edgemill_fleet.store.migrations import upgrade
from edgemill_link import topics
from edgemill_link.broker_settings import broker_at
from edgemill_link.connection import Connection, Handlers
from edgemill_link.messages import Acknowledgement

BOXES, RECORDS, BATCH, WINDOW = 40, 1500, 50, 10
ASKED = 10_000
PATIENCE_S, AGAIN_S = 300.0, 5.0
INTAKE = """
import sys
from edgemill_fleet.intake.consumer import Intake
from edgemill_fleet.store.database import open_database
from edgemill_link.broker_settings import broker_at

intake = Intake(open_database(sys.argv[1]), broker_at(sys.argv[2]), lambda _: None, sys.argv[3])
while True:
    intake.step()
"""


class Boxes:
    """All of them in one process: their batches are made before the clock runs."""

    def __init__(self, url: str) -> None:
        self.all_here = threading.Event()
        self._batches: dict[str, list[bytes]] = {}
        self._acknowledged: dict[str, int] = {}
        self._sent: dict[str, int] = {}
        self._heard: dict[str, float] = {}
        for number in range(BOXES):
            self._make(f"box-{number}")
        handlers = Handlers(lambda: None, lambda _: None, self._hear)
        self._connection = Connection(broker_at(url), "boxes", [topics.acknowledgement(topics.EVERY)], handlers)
        self._connection.start()

    def _make(self, device: str) -> None:
        ledger = Ledger(device)
        for number in range(RECORDS):
            ledger.write(Kind.VERDICT, {"n": number, "reasons": "x" * 170}, "solder-side")
        self._batches[device] = [ledger.batch(k, k + BATCH).encode() for k in range(0, RECORDS, BATCH)]
        self._acknowledged[device] = self._sent[device] = 0
        self._heard[device] = time.monotonic()

    def _hear(self, topic: str, payload: bytes) -> None:
        device, said = topics.device_of(topic), Acknowledgement.decode(payload)
        self._heard[device] = time.monotonic()
        self._acknowledged[device] = max(self._acknowledged[device], said.position // BATCH)
        if said.again:
            self._sent[device] = self._acknowledged[device]

    def send(self) -> None:
        while any(done < len(self._batches[device]) for device, done in self._acknowledged.items()):
            for device, batches in self._batches.items():
                self._send(device, batches)
            time.sleep(0.002)
        self.all_here.set()

    def _send(self, device: str, batches: list[bytes]) -> None:
        done = self._acknowledged[device]
        if time.monotonic() - self._heard[device] > AGAIN_S:
            self._sent[device], self._heard[device] = done, time.monotonic()
        for number in range(max(done, self._sent[device]), min(done + WINDOW, len(batches))):
            if not self._connection.publish(topics.records(device), batches[number]):
                return
            self._sent[device] = number + 1

    def stop(self) -> None:
        self._connection.stop()


def intake(url: str, workers: int) -> float:
    """Records a second."""
    database = open_database(url)
    add_devices(database, *(f"box-{number}" for number in range(BOXES)))
    database.close()
    with tempfile.TemporaryDirectory() as folder:
        broker = Mosquitto(Path(folder))
        broker.start()
        begin = [sys.executable, "-c", INTAKE, url, broker.url]
        processes = [subprocess.Popen([*begin, f"intake-{number}"]) for number in range(workers)]
        boxes = Boxes(broker.url)
        time.sleep(8)  # until all are connected
        start = time.perf_counter()
        threading.Thread(target=boxes.send, daemon=True).start()
        assert boxes.all_here.wait(PATIENCE_S), "not everything was acknowledged"
        took_s = time.perf_counter() - start
        boxes.stop()
        for process in processes:
            process.kill()
            process.wait()
        broker.close()
    return BOXES * RECORDS / took_s


def steward(folder: Path) -> list[Row]:
    """A rollout that asks everybody, and their plans."""
    url = f"sqlite:///{folder}/steward.db"
    upgrade(url)
    database, keys = open_database(url), Keys()
    make_repository(folder / "releases", keys)
    add_release(database)
    add_devices(database, *(f"box-{number:05d}" for number in range(ASKED)))
    begin_rollout(database)
    one = Steward(database, PlanSigner(folder / "releases", [keys.online, keys.plans]), time.time, "one")
    asked_s = _timed(lambda: _until_signed(one))
    idle_s = _timed(lambda: one.step())
    database.close()
    return [
        stated("steward", f"ask and sign for {ASKED:,}", "s", asked_s, 1),
        stated("steward", f"a step with nothing to do, {ASKED:,}", "s", idle_s, 1),
    ]


def _until_signed(one: Steward) -> None:
    while one.step().signed:
        continue


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure() -> list[Row]:
    assert MOSQUITTO is not None, "needs mosquitto"
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/fleet.db"
        upgrade(url)
        rows.append(at_least("intake", "SQLite, one intake", "records/s", intake(url, 1), 3000, 1))
        rows += steward(Path(folder))
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if programs:
        server = PostgresServer(programs[-1].parent, durable=True)
        rows.append(at_least("intake", "PostgreSQL, two intakes", "records/s", intake(server.ready(), 2), 5000, 1))
        server.close()
    return rows


if __name__ == "__main__":
    main(measure)
