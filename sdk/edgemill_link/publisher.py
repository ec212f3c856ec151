"""Send a ledger to the consumer, in order, until it says that it has it.

A PUBACK only says that the broker has a message, and a broker may lose it (a queue limit, a kill). So nothing counts as
delivered but what the consumer acknowledges by position, with the link of that record.
"""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from edgemill_core.ledger import Anchor, Record, Segment
from edgemill_link import topics
from edgemill_link.broker_settings import BrokerSettings
from edgemill_link.connection import Connection, Handlers
from edgemill_link.messages import Acknowledgement, MessageError, Presence, first_batch
from edgemill_link.window import Window

_PAGE = 200
_EXPIRES_S = 60
_TICK_S = 0.25


class RecordSource(Protocol):
    """Where the records come from; a ``LedgerView`` is one."""

    @property
    def id(self) -> str:
        """Of the ledger."""

    def acknowledged(self) -> int:
        """Position up to which the consumer is known to have everything."""

    def last(self) -> tuple[int, str]:
        """Position and link of the newest record."""

    def anchor(self) -> Anchor | None:
        """What stands for the records that were trimmed, if any were."""

    def link_at(self, position: int) -> str:
        """Link of the record at ``position``; empty if there is none."""

    def after(self, position: int, limit: int, until: int) -> Sequence[Record]:
        """Up to ``limit`` records that follow on ``position``, none behind ``until``."""

    def segment(self, after: int) -> Segment:
        """The segment of the record that follows on ``after``."""

    def segment_called(self, name: str) -> Segment | None:
        """The segment of that name, if there is one."""


@dataclass(frozen=True)
class Report:
    """What the publisher tells its owner.

    Attributes:
        acknowledged: position up to which the consumer has everything; ``None`` if that is not what changed.
        connected: whether there is a connection; ``None`` if that is not what changed.
        trouble: what went wrong, in words; empty if nothing did.
    """

    acknowledged: int | None = None
    connected: bool | None = None
    trouble: str = ""


class Publisher:
    """Publishes one ledger. ``step`` does the work, on the caller's thread.

    Args:
        device: the box's id.
        source: its ledger.
        broker: where to send to.
        facts: what the box is and runs, JSON-ready; published retained at every connection, and when it changes.
        report: told of what changes.
        window: records under way at most.
    """

    def __init__(
        self,
        device: str,
        source: RecordSource,
        broker: BrokerSettings,
        facts: Mapping[str, object],
        report: Callable[[Report], None],
        window: int = 2000,
    ) -> None:
        self._device = device
        self._source = source
        self._facts = json.dumps(facts).encode()
        self._report = report
        self._window = Window(source.acknowledged(), window)
        self._events: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        self._up, self._why = False, b""
        self._offline = Presence(False, source.id).encode()
        self._connection = Connection(
            broker,
            f"edgemill-{device}",
            [topics.acknowledgement(device)],
            Handlers(
                lambda: self._events.put(("up", b"")),
                lambda why: self._events.put(("down", why.encode())),
                lambda _, payload: self._events.put(("ack", payload)),
            ),
            (topics.online(device), self._offline),
        )
        self._connection.start()

    def wake(self) -> None:
        """There are new records; may be called from any thread."""
        self._events.put(("wake", b""))

    def tell_facts(self, facts: Mapping[str, object]) -> None:
        """The box runs something else now; may be called from any thread."""
        self._events.put(("facts", json.dumps(facts).encode()))

    def step(self) -> None:
        """Wait a moment for something to happen, then send what may be sent."""
        try:
            self._handle(*self._events.get(timeout=_TICK_S))
            while not self._events.empty():
                self._handle(*self._events.get())
        except queue.Empty:
            pass
        if self._up:
            self._window.tick(time.monotonic())
            self._send()

    def all_acknowledged(self) -> bool:
        """Whether the consumer has every record that there is."""
        return self._window.acknowledged == self._source.last()[0]

    def stop(self) -> None:
        """Say good-bye and disconnect."""
        self._connection.publish(topics.online(self._device), self._offline, retain=True)
        self._connection.stop()

    def _handle(self, event: str, payload: bytes) -> None:
        if event == "up":
            self._up = True
            self._window.connected(time.monotonic())
            name = self._source.segment(self._window.acknowledged).id
            here = Presence(True, name, self._window.acknowledged)
            self._connection.publish(topics.online(self._device), here.encode(), retain=True)
            self._connection.publish(topics.facts(self._device), self._facts, retain=True)
            self._report(Report(connected=True))
        elif event == "down":
            if self._up or payload != self._why:
                self._report(Report(connected=False, trouble=payload.decode()))
            self._up, self._why = False, payload
        elif event == "ack":
            self._acknowledge(payload)
        elif event == "facts":
            self._facts = payload
            self._connection.publish(topics.facts(self._device), payload, retain=True)

    def _acknowledge(self, payload: bytes) -> None:
        try:
            said = Acknowledgement.decode(payload)
        except MessageError as error:
            self._report(Report(trouble=str(error)))
            return
        segment = self._source.segment_called(said.ledger)
        if segment is None:
            return  # the ledger this box had before its disk was changed
        before = self._window.acknowledged
        position = segment.place(said.position, before)
        if position is None:
            return
        anchor = self._source.anchor()
        known = position == said.position and (anchor is None or position >= anchor.position)
        if known and said.link != self._source.link_at(position):
            self._report(Report(trouble=f"the consumer holds another record at position {position} than this box"))
            return
        self._window.acknowledge(position, said.again, time.monotonic())
        if self._window.acknowledged != before:
            self._report(Report(acknowledged=self._window.acknowledged))

    def _send(self) -> None:
        anchor = self._source.anchor()
        if anchor is not None:
            self._window.begin_at(anchor.position)
        while room := self._window.room():
            after = self._window.sent
            segment = self._source.segment(after)
            if self._window.acknowledged < segment.begin:
                return  # the consumer could take it before it has what is before it, under another name
            records = self._source.after(after, min(room, _PAGE), segment.until)
            if not records:
                return
            batch = first_batch(segment.id, after, self._source.link_at(after), records)
            if after == segment.begin and segment.anchor is not None:
                batch = replace(batch, anchor=segment.anchor)
            elif anchor is not None and after == anchor.position:
                batch = replace(batch, anchor=anchor)
            if not self._connection.publish(topics.records(self._device), batch.encode(), expires_s=_EXPIRES_S):
                return
            self._window.sending(batch.records[-1].header.position, time.monotonic())
