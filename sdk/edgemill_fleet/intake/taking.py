"""Take many messages in one durable transaction; what may be answered afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from edgemill_fleet.intake.ledgers import LedgerTables
from edgemill_fleet.intake.messages import Facts, Message
from edgemill_fleet.intake.updates import Word, hear_words, words_of
from edgemill_fleet.rollouts.waves import Outcome
from edgemill_fleet.store.database import BusyError, Database
from edgemill_fleet.store.devices import ENROLLED
from edgemill_fleet.store.rows import pieces
from edgemill_fleet.store.tables import Device
from edgemill_link.consumer import take
from edgemill_link.messages import Acknowledgement, Batch, Presence

_TRIES = 3
_NOT_TAKEN = (DBAPIError, BusyError, OverflowError, UnicodeError)
"""Another intake was quicker, or a row that cannot be; of numbers and letters the drivers themselves complain."""


@dataclass
class Intaken:
    """What became of some messages.

    Attributes:
        answers: device and what to tell it, now that it is durable.
        records: how many were new.
        early: batches whose predecessor may be with another intake still; to be given again.
        trouble: what was not taken, and why.
    """

    answers: list[tuple[str, Acknowledgement]] = field(default_factory=list)
    records: int = 0
    early: list[Message] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)


def take_messages(database: Database, messages: Sequence[Message], now_s: float) -> Intaken:
    """Take what may be taken, durably. Killed before it returns, nothing is answered: boxes send it again.

    What the database does not take is tried again one message at a time, so that no device keeps others from being
    heard.

    Raises:
        StoreError: the database cannot be reached; nothing was taken.
    """
    for _ in range(_TRIES):
        try:
            with database.session() as session:
                return _take(session, messages, now_s)
        except _NOT_TAKEN as error:
            fault = error
    if len(messages) == 1:
        return Intaken(trouble=[f"{messages[0].device}: {str(fault).strip()[:200]}"])
    apart = Intaken()
    for message in messages:
        one = take_messages(database, [message], now_s)
        apart.answers += one.answers
        apart.records += one.records
        apart.early += one.early
        apart.trouble += one.trouble
    return apart


def _take(session: Session, messages: Sequence[Message], now_s: float) -> Intaken:
    done = Intaken()
    let_in = _enrolled(session, {message.device for message in messages})
    done.trouble += [f"{one.device}: is not enrolled" for one in messages if one.device not in let_in]
    messages = [one for one in messages if one.device in let_in]
    ledgers = [(one.device, one.said.ledger) for one in messages if not isinstance(one.said, Facts)]
    store = LedgerTables(session, ledgers)
    words: list[Word] = []
    for message in sorted(messages, key=_turn):
        words += _take_one(store, message, done, now_s)
    store.write()
    hear_words(session, words, now_s)
    _write_devices(session, messages, words, store.begun, now_s)
    return done


def _turn(message: Message) -> int:
    """Batches in the order of their ledger, behind what is no batch."""
    return message.said.after if isinstance(message.said, Batch) else -1


def _take_one(store: LedgerTables, message: Message, done: Intaken, now_s: float) -> list[Word]:
    device, said = message.device, message.said
    if isinstance(said, Presence):
        # Tell a box that comes what is here of its ledger; it may be less than it believes.
        known = store.progress(device, said.ledger)
        if said.online:
            again = known.position < said.acknowledged
            done.answers.append((device, Acknowledgement(said.ledger, known.position, known.link, again)))
    if not isinstance(said, Batch):
        return []
    behind_a_gap = said.anchor is None and said.after > store.progress(device, said.ledger).position
    if behind_a_gap and now_s < message.patient_until_s:
        done.early.append(message)
        return []
    taken = take(store, device, said)
    done.records += len(taken.records)
    if taken.trouble:
        done.trouble.append(taken.trouble)
    if taken.answer is not None:
        done.answers.append((device, taken.answer))
    return words_of(device, taken.records)


def _enrolled(session: Session, devices: set[str]) -> set[str]:
    found: set[str] = set()
    for some in pieces(sorted(devices)):
        rows = select(Device.id).where(Device.id.in_(some), Device.standing == ENROLLED)
        found.update(session.execute(rows).scalars())
    return found


def _write_devices(
    session: Session, messages: Sequence[Message], words: Sequence[Word], begun: set[str], now_s: float
) -> None:
    rows: dict[str, Device] = {}
    for some in pieces(sorted({message.device for message in messages})):
        held = select(Device).where(Device.id.in_(some)).order_by(Device.id).with_for_update()
        rows |= {row.id: row for row in session.execute(held).scalars()}
    for message in messages:
        row = rows[message.device]
        row.heard_s = now_s
        if isinstance(message.said, Presence):
            row.online = message.said.online
        elif isinstance(message.said, Facts):
            row.facts = message.said.told
    _write_runs(rows, words, begun)
    session.flush()


def _write_runs(rows: dict[str, Device], words: Sequence[Word], begun: set[str]) -> None:
    for device in begun:
        rows[device].runs = {}  # another disk
    for word in words:
        if word.outcome is Outcome.TOOK:
            rows[word.device].runs = {**rows[word.device].runs, word.name: word.version}
