"""The reference consumer: takes every box's ledger once, whole and in order, and says what it has.

Rules
- A record counts once it is in the store, durably; only then is it acknowledged.
- A record is taken only if it follows on the last one and the chain is whole. Doubled ones are dropped, and behind a
  gap the box is asked to send again.
- Two consumers on one broker would answer each other's boxes: run one per broker and store.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from edgemill_core.ledger import Anchor, Record, check_chain
from edgemill_link import topics
from edgemill_link.broker_settings import BrokerSettings
from edgemill_link.connection import Connection, Handlers
from edgemill_link.consumer_store import ConsumerStore, Progress
from edgemill_link.messages import Acknowledgement, Batch, MessageError, Presence
from edgemill_link.signatures import holds

_TICK_S = 0.25


class Ledgers(Protocol):
    """Where records go: ``ConsumerStore``, or any other that is as durable."""

    def progress(self, device: str, ledger: str) -> Progress:
        """How far this ledger was taken."""

    def anchor(self, device: str, ledger: str) -> Anchor | None:
        """The anchor that this ledger was last begun at, if it was."""

    def begin_at(self, device: str, anchor: Anchor) -> None:
        """The box has nothing before ``anchor`` any more: go on behind it."""

    def add(self, device: str, ledger: str, records: Sequence[Record], progress: Progress) -> None:
        """Add ``records`` and move on to ``progress``, both or neither."""


@dataclass(frozen=True)
class Taken:
    """What became of one batch.

    Attributes:
        answer: what to tell the box; ``None`` for a batch that is not to be trusted.
        records: those that were new.
        trouble: why it was not taken; empty if it was.
    """

    answer: Acknowledgement | None
    records: tuple[Record, ...] = ()
    trouble: str = ""


def take(store: Ledgers, device: str, batch: Batch) -> Taken:
    """Put what is new of ``batch`` into ``store``; the answer may be sent once that is durable."""
    known = store.progress(device, batch.ledger)
    new = tuple(record for record in batch.records if record.header.position > known.position)
    if batch.after > known.position:
        if batch.anchor is None:
            return Taken(Acknowledgement(batch.ledger, known.position, known.link, again=True))
        against = _against(store, device, batch, batch.anchor)
        if against:
            return Taken(None, trouble=f"{device}: the anchor at {batch.after} is not to be trusted: {against}")
        known = Progress(batch.anchor.position, batch.anchor.link)
        store.begin_at(device, batch.anchor)
    fault = check_chain(new, known.position, known.link)
    if fault is not None:
        return Taken(None, trouble=f"{device}: record {fault.position}: {fault.what}")
    if new:
        known = Progress(new[-1].header.position, new[-1].link)
        store.add(device, batch.ledger, new, known)
    return Taken(Acknowledgement(batch.ledger, known.position, known.link), new)


def _against(store: Ledgers, device: str, batch: Batch, anchor: Anchor) -> str:
    """What speaks against beginning at ``anchor``; empty if nothing does. The first key seen of a ledger counts."""
    if (anchor.ledger, anchor.position, anchor.link) != (batch.ledger, batch.after, batch.previous):
        return "it is of another place than the batch"
    if not holds(anchor):
        return "its signature does not match"
    before = store.anchor(device, batch.ledger)
    if before is not None and before.key != anchor.key:
        return "it is signed with another key than the one before"
    return ""


def _nobody(_: str, __: Record) -> None:
    """Nobody wants to be told."""


class Consumer:
    """Listens to every box at one broker. ``step`` does the work, on the caller's thread.

    Args:
        store: where records go.
        broker: where to listen.
        tell: told, in words, of what was not taken and why.
        taken: told of each record that is new, with its device, once it is in the store.
        name: client id at the broker.
        device: only this one; every one at the broker if not said.
    """

    def __init__(
        self,
        store: ConsumerStore,
        broker: BrokerSettings,
        tell: Callable[[str], None],
        taken: Callable[[str, Record], None] = _nobody,
        name: str = "edgemill-consumer",
        device: str = topics.EVERY,
    ) -> None:
        self._store = store
        self._taken = taken
        self._tell = tell
        self._events: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        self._connection = Connection(
            broker,
            name,
            [topics.records(device), topics.online(device)],
            Handlers(
                lambda: self._events.put(("up", b"")),
                lambda why: self._events.put(("down", why.encode())),
                lambda topic, payload: self._events.put((topic, payload)),
            ),
        )
        self._connection.start()

    def step(self) -> int:
        """Wait a moment for something to come and take it; returns how many records were new."""
        try:
            event, payload = self._events.get(timeout=_TICK_S)
        except queue.Empty:
            return 0
        if event == "up":
            # The broker may have been restarted with nothing kept: say again what is here.
            for device, ledger, progress in self._store.all_progress():
                self._answer(device, Acknowledgement(ledger, progress.position, progress.link))
            return 0
        if event == "down":
            self._tell(payload.decode())
            return 0
        device = topics.device_of(event)
        try:
            if event == topics.online(device):
                self._greet(device, Presence.decode(payload))
                return 0
            return self._take(device, Batch.decode(payload))
        except MessageError as error:
            self._tell(f"{device}: {error}")
            return 0

    def stop(self) -> None:
        """Disconnect."""
        self._connection.stop()

    def _greet(self, device: str, presence: Presence) -> None:
        """Tell a box that comes what is here of its ledger; it may be less than it believes."""
        if presence.online:
            known = self._store.progress(device, presence.ledger)
            again = known.position < presence.acknowledged
            self._answer(device, Acknowledgement(presence.ledger, known.position, known.link, again))

    def _take(self, device: str, batch: Batch) -> int:
        taken = take(self._store, device, batch)
        if taken.trouble:
            self._tell(taken.trouble)
        if taken.answer is not None:
            self._answer(device, taken.answer)
        for record in taken.records:
            self._taken(device, record)
        return len(taken.records)

    def _answer(self, device: str, answer: Acknowledgement) -> None:
        self._connection.publish(topics.acknowledgement(device), answer.encode(), retain=True)
