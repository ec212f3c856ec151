"""The consumer of the fleet: listens to every device at one broker, as one of as many as are needed.

Rules
- Records come by a shared subscription, each batch to one of the intakes. Presence and facts are retained, and MQTT 5
  gives retained messages to no shared subscription: each intake hears all of them, and writes the same.
- Batches of one box that went to different intakes overtake each other. One that comes early waits for a moment before
  the box is asked to send again.
- What waits is bounded, in bytes. When it is full the broker is made to wait, and then what comes is dropped: a box
  sends again what is not acknowledged.
- A database that cannot be reached is told of once; nothing is acknowledged until it is back.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass

from edgemill_core.errors import StoreError
from edgemill_fleet.intake.ledgers import all_progress
from edgemill_fleet.intake.messages import Message, read_message
from edgemill_fleet.intake.taking import Intaken, take_messages
from edgemill_fleet.intake.waiting import Waiting
from edgemill_fleet.store.database import Database
from edgemill_link import topics
from edgemill_link.broker_settings import BrokerSettings
from edgemill_link.connection import Connection, Handlers
from edgemill_link.messages import Acknowledgement, MessageError

_TICK_S = 0.25
_WAITING_BYTES = 64 << 20
_WAIT_S = 5.0
_PAUSE_S = 1.0


@dataclass(frozen=True)
class Batching:
    """How messages come together in one transaction.

    Attributes:
        most: messages.
        linger_s: how long the first one waits for others; none of it while the queue holds more.
        patience_s: how long a batch that came early waits for the one before it.
    """

    most: int = 200
    linger_s: float = 0.02
    patience_s: float = 0.5


BATCHING = Batching()


class Intake:
    """One intake. ``step`` does the work, on the caller's thread.

    Args:
        database: of the fleet.
        broker: where to listen.
        tell: told, in words, of what was not taken and why.
        name: client id at the broker; each intake needs its own.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        database: Database,
        broker: BrokerSettings,
        tell: Callable[[str], None],
        name: str,
        clock: Callable[[], float] = time.time,
        batching: Batching = BATCHING,
    ) -> None:
        self._database, self._tell, self._clock, self._batching = database, tell, clock, batching
        self._events = Waiting(_WAITING_BYTES)
        self._early: list[Message] = []
        self._troubled = False
        self._connection = Connection(
            broker,
            name,
            [
                topics.shared(topics.records(topics.EVERY), "intake"),
                topics.online(topics.EVERY),
                topics.facts(topics.EVERY),
            ],
            Handlers(
                lambda: self._put("up", b""),
                lambda why: self._put("down", why.encode()),
                self._put,
            ),
        )
        self._connection.start()

    def step(self) -> int:
        """Wait a moment for something to come and take it; returns how many records were new."""
        events = self._waiting()
        messages = self._early + [message for event in events if (message := self._read(*event)) is not None]
        self._early = []
        try:
            if ("up", b"") in events:
                self._say_all()
            done = take_messages(self._database, messages, self._clock()) if messages else Intaken()
        except StoreError as error:
            if not self._troubled:
                self._tell(str(error))
            self._troubled = True
            time.sleep(_PAUSE_S)
            return 0
        self._troubled = False
        self._early = done.early
        for device, answer in done.answers:
            self._answer(device, answer)
        for trouble in done.trouble:
            self._tell(trouble)
        return done.records

    def stop(self) -> None:
        """Disconnect."""
        self._connection.stop()

    def _waiting(self) -> list[tuple[str, bytes]]:
        found: list[tuple[str, bytes]] = []
        until = time.monotonic() + (self._batching.linger_s if self._early else _TICK_S)
        while len(found) + len(self._early) < self._batching.most:
            try:
                found.append(self._events.get(timeout=max(0.0, until - time.monotonic())))
            except queue.Empty:
                break
            if len(found) == 1:
                until = time.monotonic() + self._batching.linger_s
        return found

    def _read(self, topic: str, payload: bytes) -> Message | None:
        if topic == "up":
            return None
        if topic == "down":
            self._tell(payload.decode())
            return None
        try:
            return read_message(topic, payload, self._clock() + self._batching.patience_s)
        except MessageError as error:
            self._tell(f"{topic[:100]}: {error}")
            return None

    def _say_all(self) -> None:
        """The broker may have been restarted with nothing kept: say again what is here."""
        with self._database.reading() as session:
            known = all_progress(session)
        for device, ledger, progress in known:
            self._answer(device, Acknowledgement(ledger, progress.position, progress.link))

    def _answer(self, device: str, answer: Acknowledgement) -> None:
        self._connection.publish(topics.acknowledgement(device), answer.encode(), retain=True)

    def _put(self, topic: str, payload: bytes) -> None:
        try:
            self._events.put((topic, payload), timeout=_WAIT_S)
        except queue.Full:
            return  # not acknowledged, so it comes again
