"""Run the line as a box would: an agent, a broker, a consumer at the other end, and kill -9 in between."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from edgemill.demo import market_risk
from edgemill.demo.line import Part
from edgemill.demo.market_risk import Day
from edgemill_core.bundle import Bundle
from edgemill_core.errors import EngineError
from edgemill_core.ledger import Account, Kind, Record
from edgemill_core.samples import Sample
from edgemill_core.verdict import Decision, Verdict
from edgemill_link.broker_settings import BrokerSettings
from edgemill_link.consumer import Consumer
from edgemill_link.consumer_store import ConsumerStore
from edgemill_link.embedded_broker import EmbeddedBroker

STATION = "lot-code"
_DRAIN_S = 60.0
_BROKER_DOWN_S = 0.5


@dataclass
class AgentLine:
    """What came of the line, as the consumer at the other end of the wire saw it.

    Attributes:
        produced: parts and requests, by the generators' own count.
        parts: verdicts on parts that arrived, each with its sample.
        risk: readings of the market-risk station that arrived, by the day they were made at.
        account: of the ledger, at the consumer.
        stations: the agent's own figures per station.
        worker_kills: engine workers that were killed.
        broker_kills: times the broker was killed.
    """

    produced: int
    parts: list[Part] = field(default_factory=list)
    risk: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    account: Account = field(default_factory=Account)
    stations: Mapping[str, Any] = field(default_factory=dict)
    worker_kills: int = 0
    broker_kills: int = 0

    @property
    def delivered(self) -> int:
        """Distinct ledger numbers at the consumer."""
        return self.account.delivered

    @property
    def declared_lost(self) -> int:
        """Verdicts that the box declared lost."""
        return self.account.lost

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "worker_kills": self.worker_kills,
            "broker_kills": self.broker_kills,
            "ledger": {
                "produced": self.produced,
                "delivered": self.delivered,
                "declared_lost": self.declared_lost,
            },
            "stations": {
                name: {key: found[key] for key in ("verdicts", "p50", "p99")} for name, found in self.stations.items()
            },
        }


def run_agent_line(
    out: Path,
    bundles: Sequence[Bundle],
    samples: Sequence[Sample],
    days: Sequence[Day],
    broker: BrokerSettings | None,
    seen: Callable[[Part], None],
) -> AgentLine:
    """Let an agent judge every part and answer every request, kill an engine worker and the broker on the way, and
    take what arrives.

    Args:
        out: the demo's folder; the parts lie in ``line``, the requests in ``risk``.
        bundles: what the two stations run, that of the lot codes first.
        samples: the parts.
        days: the requests.
        broker: an own one, which is not killed; ``None`` starts and kills an embedded one.
        seen: told of each part when its verdict arrives.

    Raises:
        EngineError: the agent ended otherwise than by itself.
    """
    device = f"demo-{secrets.token_hex(4)}"
    line = AgentLine(len(samples) + len(days))
    by_name = {sample.picture.name: sample for sample in samples}

    def taken(_: str, record: Record) -> None:
        line.account.add(record)
        if record.header.kind is not Kind.VERDICT or record.payload is None:
            return
        content = record.payload.content()
        if record.header.station == market_risk.STATION:
            line.risk[content["item"]] = content["verdict"]["reading"]
        else:
            line.parts.append(_part(by_name, content))
            seen(line.parts[-1])

    with ExitStack() as stack:
        embedded = stack.enter_context(EmbeddedBroker()) if broker is None else None
        at = BrokerSettings(url=embedded.url) if embedded is not None else broker
        assert at is not None
        store = ConsumerStore(out / "consumer" / "records.db")
        stack.callback(store.close)
        consumer = Consumer(store, at, _ignore, taken, f"{device}-consumer", device)
        stack.callback(consumer.stop)
        settings = _write_settings(out, bundles, device, at)
        log = stack.enter_context((out / "agent.log").open("w"))
        command = [sys.executable, "-m", "edgemill", "agent", "run", str(settings), "--json"]
        agent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        stack.callback(_end, agent)
        while agent.poll() is None:
            consumer.step()
            _kill_something(line, len(samples), out, embedded)
        line.stations = _account(agent, out / "agent.log")
    return line


def _kill_something(line: AgentLine, parts: int, out: Path, broker: EmbeddedBroker | None) -> None:
    """The engine worker after a third of the parts, the broker after two thirds."""
    if not line.worker_kills and len(line.parts) >= parts // 3:
        with suppress(OSError, ValueError, KeyError, TypeError):  # it is being started just now; next time then
            os.kill(json.loads((out / "state" / "processes.json").read_text())[f"{STATION}/engine"], signal.SIGKILL)
            line.worker_kills += 1
    if broker is not None and not line.broker_kills and len(line.parts) >= parts * 2 // 3:
        broker.kill()
        line.broker_kills += 1
        time.sleep(_BROKER_DOWN_S)
        broker.start()


def _write_settings(out: Path, bundles: Sequence[Bundle], device: str, broker: BrokerSettings) -> Path:
    settings = {
        "device": {"id": device, "site": "demo"},
        "state": "state",
        "mqtt": {"url": broker.url},
        "drain_s": _DRAIN_S,
        "stations": [
            {
                "name": STATION,
                "bundle": bundles[0].folder.name,
                # One slot: a part comes when the one before has its verdict, so its time is that of the work alone.
                "source": {"folder": "line", "labels": "line/labels.csv", "once": True, "slots": 1},
                "evidence": {"keep": ["reject", "uncertain", "late"]},
            },
            {
                "name": market_risk.STATION,
                "bundle": bundles[1].folder.name,
                "source": {"rows": "risk/requests.csv", "once": True, "slots": 1},
                "late": "uncertain",
            },
        ],
    }
    path = out / "agent.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return path


def _part(by_name: Mapping[str, Sample], content: Mapping[str, Any]) -> Part:
    told = content["verdict"]
    confidence = told["confidence"] if told["confidence"] is not None else float("nan")
    verdict = Verdict(Decision(told["decision"]), tuple(told["reasons"]), confidence, told["reading"])
    return Part(by_name[content["item"]], verdict, content["ms"])


def _account(agent: subprocess.Popen[str], log: Path) -> Mapping[str, Any]:
    out, _ = agent.communicate()
    if agent.returncode != 0:
        raise EngineError(
            "the agent did not finish the line",
            expected="exit code 0",
            got=f"exit code {agent.returncode}: {log.read_text()[-300:].strip()}",
            fix=f"see {log}",
        )
    stations: Mapping[str, Any] = json.loads(out)["stations"]
    return stations


def _end(agent: subprocess.Popen[str]) -> None:
    agent.kill()
    agent.wait()
    if agent.stdout is not None:
        agent.stdout.close()


def _ignore(_: str) -> None:
    """The broker going away is part of the show."""
