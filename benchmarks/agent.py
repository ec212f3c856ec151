"""Durable verdicts a second, through ledger, broker and consumer, acknowledged; and what the line process weighs.

With mosquitto if that is installed, else with the embedded broker; the case says which.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from form import Row, at_least, at_most, main
from parts import MOSQUITTO, running_broker

from edgemill_agent.clock import Clock
from edgemill_agent.ledger import Entry, Ledger, LedgerView, open_ledger
from edgemill_core.ledger import Kind
from edgemill_link.broker_settings import BrokerSettings
from edgemill_link.publisher import Publisher

VERDICTS, GROUP, RUNS = 20_000, 20, 3
"""``GROUP`` verdicts a commit: what comes together while the disk is busy with the ones before, at 2,000 a second."""
BODY = {"item": "part-00000.png", "context": {"expected": "L7K42B 2027-05"}, "ms": 25.0, "engine_ms": 20.0} | {
    "verdict": {"decision": "pass", "reasons": [], "confidence": 0.99, "reading": {"text": "L7K42B 2027-05"}}
}
LINE = """
import asyncio, sys
from pathlib import Path
from edgemill_agent.clock import Clock
from edgemill_agent.ledger import Entry, open_ledger
from edgemill_agent.line import line, station
from edgemill_agent.line.journal import Journal
from edgemill_core.ledger import Kind
async def run():
    ledger, _ = open_ledger(Path(sys.argv[1]), Clock())
    journal = Journal(ledger, lambda _: None, print)
    task = asyncio.create_task(journal.run())
    for part in range(int(sys.argv[2])):
        number = await journal.number()
        journal.put(Entry(Kind.VERDICT, {"part": part}, number, "s", "pass", f"{part:07d}"))
        if part % 100 == 0:
            await journal.flushed()
    await journal.close(task)
    print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
asyncio.run(run())
"""


def write(ledger: Ledger) -> None:
    for start in range(1, VERDICTS + 1, GROUP):
        ledger.append([Entry(Kind.VERDICT, BODY, n, "s", "pass", f"{n:07d}") for n in range(start, start + GROUP)])


def acknowledged_a_second() -> float:
    """From the first verdict to the acknowledgement of the last one; writer and publisher here, consumer beside us."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with running_broker(folder) as url:
            consume = ["ledger", "consume", "--broker", url, "--store", str(folder / "consumer.db")]
            consumer = subprocess.Popen([sys.executable, "-m", "edgemill", *consume], stdout=subprocess.DEVNULL)
            ledger, _ = open_ledger(folder / "state", Clock())
            source = LedgerView.open(folder / "state")
            publisher = Publisher("bench", source, BrokerSettings(url=url), {}, lambda _: None)
            ledger.append([Entry(Kind.START, {"bundle": "none"})])
            while not publisher.all_acknowledged():
                publisher.step()
            writer = threading.Thread(target=write, args=[ledger])
            start = time.perf_counter()
            writer.start()
            while writer.is_alive() or not publisher.all_acknowledged():
                publisher.step()
            took = time.perf_counter() - start
            publisher.stop()
            consumer.terminate()
            consumer.wait()
            ledger.close()
            source.close()
    return VERDICTS / took


def line_megabytes(records: int) -> float:
    """Peak resident memory of a process with the line's modules and journal, after so many records."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", LINE, folder, str(records)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1]) / 1024


def measure() -> list[Row]:
    name = "mosquitto" if MOSQUITTO else "embedded broker"
    rates = sorted(acknowledged_a_second() for _ in range(RUNS))
    few, many = line_megabytes(1_000), line_megabytes(1_000_000)
    return [
        at_least(f"agent, {name}", "durable verdicts a second, acknowledged", "1/s", rates[RUNS // 2], 2000, RUNS),
        at_most("agent", "line process, peak memory after 1,000,000 records", "MB", many, 60, 1),
        at_most("agent", "growth from 1,000 to 1,000,000 records", "MB", many - few, 2, 1),
    ]


if __name__ == "__main__":
    main(measure)
