"""A fleet's rows to begin with, and boxes that say things of themselves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgemill_core.ledger import GENESIS, Header, Kind, Payload, Record
from edgemill_fleet.rollouts.waves import Outcome, Thresholds, WaveSettings
from edgemill_fleet.store.database import Database
from edgemill_fleet.store.devices import add_device, enrolled_devices
from edgemill_fleet.store.rollouts import Order, approve_rollout, create_rollout
from edgemill_fleet.store.tables import MemberRow, Release, RolloutRow
from edgemill_link.messages import Batch

STATES = {Outcome.TOOK: "committed", Outcome.REFUSED: "refused", Outcome.ROLLED_BACK: "rolled back"}


def add_devices(database: Database, *names: str, group: str = "") -> None:
    with database.session() as session:
        for name in names:
            add_device(session, name, 0.0, group=group)


def add_release(database: Database, name: str = "tiny", version: str = "1.0.0") -> None:
    with database.session() as session:
        session.add(Release(name=name, version=version, manifest="0" * 64, proposed_by="anna", approved_by="ben"))


def begin_rollout(
    database: Database, *waves: WaveSettings, version: str = "1.0.0", now_s: float = 0.0, **limits: float
) -> int:
    """Over every device, made by anna and approved by ben."""
    order = Order("tiny", version, waves or (WaveSettings(percent=100),), Thresholds.model_validate(limits))
    with database.session() as session:
        number = create_rollout(session, order, enrolled_devices(session), "anna", now_s)
        approve_rollout(session, number, "ben", now_s)
    return number


def outcomes(database: Database, number: int) -> dict[str, str]:
    with database.reading() as session:
        return {row.device: row.outcome for row in session.query(MemberRow).where(MemberRow.rollout == number)}


def course(database: Database, number: int) -> str:
    with database.reading() as session:
        return session.get_one(RolloutRow, number).course


@dataclass
class Ledger:
    """A box's, of which each record follows on the one before."""

    device: str
    id: str = "ledger-1"
    position: int = 0
    link: str = GENESIS
    records: list[Record] = field(default_factory=list)

    def write(self, kind: Kind, told: object, station: str = "") -> Record:
        payload = Payload(b"s" * 16, json.dumps(told).encode())
        self.position += 1
        header = Header(self.position, 0, kind, station, "", 1, "boot", 1, payload.digest)
        self.link = header.link(self.link)
        self.records.append(Record(header, self.link, payload))
        return self.records[-1]

    def verdicts(self, many: int) -> None:
        for number in range(many):
            self.write(Kind.VERDICT, {"n": number}, "solder-side")

    def says(self, outcome: Outcome, version: str = "1.0.0", name: str = "tiny", why: str = "") -> None:
        self.write(Kind.UPDATE, {"name": name, "version": version, "state": STATES[outcome], "why": why})

    def batch(self, after: int = 0, upto: int | None = None) -> Batch:
        records: Sequence[Record] = self.records[after:upto]
        return Batch(self.id, after, self.records[after - 1].link if after else GENESIS, tuple(records))
