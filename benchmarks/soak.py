"""Kill everything, again and again, and hold the account against the generator's own count.

``--faults N`` (default 60), ``--seed S`` and ``--every SECONDS`` between faults. Faults: kill -9 of engine, source,
link and line process, broker (mosquitto with its default limits where installed, else the embedded one) and consumer;
engine, source or link process that hangs; network cuts; and, as root, a full disk (a small tmpfs). Whatever ends is
started again, as systemd would.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml
from form import Row, at_most, main, stated

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "parts"))
from tiny_text import write_set, write_workshop

from edgemill_agent.ledger import LedgerView
from edgemill_core.errors import LedgerError
from edgemill_core.ledger import Account, Kind, check_chain
from edgemill_link.consumer_store import ConsumerStore
from edgemill_link.embedded_broker import EmbeddedBroker

DEVICE, STATION, POOL = "soak", "cell", 60
EVERY_S, PICTURES_A_SECOND, PATIENCE_S = 0.4, 20, 600
QUOTA, DISK = "72MiB", "96m"
"""Of ledger and kept frames, and of the disk that is filled."""
MARK = "EDGEMILL_SOAK"
MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin")


class Kept:
    """A process that is started again whenever it is found ended."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._command, self._log = command, log
        self.process = self._start()
        self.starts = 1

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(self._command, stdout=log, stderr=log)

    def look(self) -> None:
        if self.process.poll() is not None:
            self.process = self._start()
            self.starts += 1

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()


class Wire:
    """A TCP relay to the broker that can be cut."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._open: list[socket.socket] = []
        self.cut = False
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            ours, _ = self._server.accept()
            if self.cut:
                ours.close()
                continue
            try:
                theirs = socket.create_connection(("127.0.0.1", self._target), 2)
            except OSError:
                ours.close()
                continue
            theirs.settimeout(None)
            self._open = [s for s in self._open if s.fileno() >= 0] + [ours, theirs]
            for pair in ((ours, theirs), (theirs, ours)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                sink.sendall(piece)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def drop(self) -> None:
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Mosquitto:
    def __init__(self, folder: Path, port: int) -> None:
        (folder / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
        self._kept = Kept([str(MOSQUITTO), "-c", str(folder / "mosquitto.conf")], folder / "mosquitto.log")

    def start(self) -> None:
        self._kept.look()

    def kill(self) -> None:
        self._kept.kill()


class Generator:
    """Puts pictures into the folder, under rising names, and counts them."""

    def __init__(self, pool: Path, folder: Path, state: Path) -> None:
        self._pool = sorted(pool.glob("*.png"))
        self._folder = folder
        self._state = state
        self.produced = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(1 / PICTURES_A_SECOND):
            os.link(self._pool[self.produced % POOL], self._folder / f"{self.produced:08d}.png")
            self.produced += 1
            if self.produced % 1000 == 0:
                self._clear()

    def _clear(self) -> None:
        """Remove the pictures that have their verdicts, as whoever fills such a folder does."""
        with contextlib.suppress(LedgerError, sqlite3.Error):
            view = LedgerView.open(self._state)
            done = view.cursors().get(STATION, "")
            view.close()
            for path in self._folder.iterdir():
                if path.name < done:
                    path.unlink()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A tmpfs of its own for the state, so that it can be filled; false where we may not mount one."""
    folder.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "soak", folder], stderr=subprocess.DEVNULL
        ).returncode
    )
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", folder], check=True)


class Plant:
    """Box, broker, wire and consumer, and the faults that befall them."""

    def __init__(self, folder: Path, state: Path, disk: bool) -> None:
        self.folder, self.state, self._disk = folder, state, disk
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.broker: Mosquitto | EmbeddedBroker = Mosquitto(folder, port) if MOSQUITTO else EmbeddedBroker(port)
        if not MOSQUITTO:
            self.broker.start()
        self.wire = Wire(port)
        (folder / "pictures").mkdir()
        write_set(folder / "pool", POOL, 3)
        recipe = write_workshop(folder, targets=[{"runtime": "onnxruntime", "precisions": ["fp32"]}])
        # In a process of its own: the one that builds keeps a helper for as long as it lives, which is no orphan.
        command = [sys.executable, "-m", "edgemill", "build", recipe, "--out", folder / "out"]
        subprocess.run(command, check=True, stdout=sys.stderr)
        source = {"folder": "pictures", "max_frame_bytes": 4096}
        settings = {
            "device": {"id": DEVICE},
            "state": str(state),
            "mqtt": {"url": f"mqtt://127.0.0.1:{self.wire.port}", "keepalive_s": 5},
            "drain_s": 30,
            "retention": {"quota": QUOTA},
            "metrics_s": 1,
            "silent_s": 5,
            "stations": [
                {
                    "name": STATION,
                    "bundle": str(folder / "out" / "tiny-1.0.0"),
                    "hang_ms": 2000,
                    "start_ms": 8000,
                    "source": source,
                    "evidence": {"keep": ["5%"]},
                }
            ],
        }
        (folder / "agent.yaml").write_text(yaml.safe_dump(settings))
        edgemill = [sys.executable, "-m", "edgemill"]
        self.agent = Kept([*edgemill, "agent", "run", str(folder / "agent.yaml")], folder / "agent.log")
        self.consumer = Kept(
            [*edgemill, "ledger", "consume", "--broker", f"mqtt://127.0.0.1:{port}", "--store", str(folder / "c.db")],
            folder / "consumer.log",
        )
        self.generator = Generator(folder / "pool", folder / "pictures", state)

    def faults(self) -> dict[str, Callable[[random.Random], object]]:
        workers = {name: lambda _, name=name: self._signal(name) for name in (f"{STATION}/engine", f"{STATION}/source")}
        more = {"full disk": self._fill_disk} if self._disk else {}
        return {
            **workers,
            "engine hangs": lambda _: self._signal(f"{STATION}/engine", signal.SIGSTOP),
            "source hangs": lambda _: self._signal(f"{STATION}/source", signal.SIGSTOP),
            "link": lambda _: self._signal("link"),
            "link hangs": lambda _: self._signal("link", signal.SIGSTOP),
            "line": lambda _: self.agent.kill(),
            "broker": self._kill_broker,
            "consumer": lambda _: self.consumer.kill(),
            "network cut": self._cut,
            **more,
        }

    def look(self) -> None:
        """Start again what has ended."""
        self.agent.look()
        self.consumer.look()
        self.broker.start() if MOSQUITTO else None

    def _signal(self, name: str, number: int = signal.SIGKILL) -> None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            os.kill(json.loads((self.state / "processes.json").read_text())[name], number)

    def _kill_broker(self, rng: random.Random) -> None:
        self.broker.kill()
        time.sleep(rng.random())
        self.broker.start()

    def _cut(self, rng: random.Random) -> None:
        self.wire.cut = True
        self.wire.drop()
        time.sleep(rng.random())
        self.wire.cut = False

    def _fill_disk(self, rng: random.Random) -> None:
        junk = self.state / "junk"
        with contextlib.suppress(OSError), junk.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(65536))
        time.sleep(rng.random() * 2)
        junk.unlink()

    def end(self) -> None:
        self.agent.end()
        self.consumer.end()
        self.broker.kill()


def delivered(plant: Plant) -> int:
    with contextlib.suppress(LedgerError):
        store = ConsumerStore(plant.folder / "c.db")
        try:
            return sum(account.delivered + account.lost for account in store.accounts().values())
        finally:
            store.close()
    return 0


def orphans(mark: str) -> list[str]:
    """Command lines of the processes that carry our mark and still run."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes() and process.name != str(os.getpid()):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def run(faults: int, seed: int, every_s: float) -> list[Row]:
    rng, befell = random.Random(seed), Counter[str]()
    mark = os.environ[MARK] = secrets.token_hex(8)
    with tempfile.TemporaryDirectory() as scratch, small_disk(Path(scratch) / "state") as disk:
        plant = Plant(Path(scratch), Path(scratch) / "state", disk)
        try:
            while delivered(plant) < 50:
                plant.look()
                time.sleep(0.2)
            table = plant.faults()
            for turn in range(faults):
                name = rng.choice(sorted(table))
                befell[name] += 1
                table[name](rng)
                time.sleep(rng.random() * 2 * every_s)
                plant.look()
                if turn % 20 == 19:
                    print(f"  {turn + 1} faults, {plant.generator.produced} produced", file=sys.stderr, flush=True)
            plant.generator.stop()
            until = time.monotonic() + PATIENCE_S
            while delivered(plant) < plant.generator.produced and time.monotonic() < until:
                plant.look()
                time.sleep(0.5)
        finally:
            plant.generator.stop()
            plant.end()
        rows = account(plant, f"soak, {faults} faults, seed {seed}", befell)
        left = orphans(mark)
        for orphan in left:
            print(f"orphan: {orphan}", file=sys.stderr)
        if any(not row.holds for row in rows if row.bar):
            shutil.copytree(scratch, Path(tempfile.gettempdir()) / f"soak-failed-{seed}", dirs_exist_ok=True)
    return [*rows, at_most(rows[0].case, "orphans", "processes", len(left), 0, 1)]


def account(plant: Plant, case: str, befell: Counter[str]) -> list[Row]:
    view, store = LedgerView.open(plant.state), ConsumerStore(plant.folder / "c.db")
    records = list(store.records(DEVICE, view.id))
    same = [r.link for r in records] == [r.link for r in view.records()]
    whole = check_chain(records) is None and view.verify() is None and same
    found, kinds = Account(), Counter[Kind]()
    for record in records:
        found.add(record)
        kinds[record.header.kind] += 1
    produced = plant.generator.produced
    rows = [
        at_most(
            case, "produced - delivered - declared lost", "verdicts", abs(produced - found.delivered - found.lost), 0, 1
        ),
        at_most(case, "numbers twice at the consumer", "numbers", len(found.doubled), 0, 1),
        at_most(case, "chain not whole, or not the same at both ends", "chains", 1 - whole, 0, 1),
        stated(case, "produced", "verdicts", produced, 1),
        stated(case, "declared lost", "verdicts", found.lost, 1),
        stated(case, "frames kept, or declared not kept", "frames", kinds[Kind.EVIDENCE], 1),
        stated(case, "evictions declared", "records", kinds[Kind.EVICTED], 1),
        *(stated(case, f"fault: {name}", "times", count, 1) for name, count in sorted(befell.items())),
        stated(case, "starts of the agent", "times", plant.agent.starts, 1),
    ]
    view.close()
    store.close()
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--faults", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=float, default=EVERY_S)
    told, sys.argv[1:] = parser.parse_known_args()
    main(lambda: run(told.faults, told.seed, told.every))
