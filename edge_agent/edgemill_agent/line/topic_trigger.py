"""Hears messages on a topic (MQTT), and says when a part came: each message is one."""

from __future__ import annotations

import json
from collections.abc import Mapping

from edgemill_agent.clock import Clock
from edgemill_agent.line.counting import came_since, counted, parts_between
from edgemill_agent.line.tracking import Seen
from edgemill_agent.line.trigger import MOST_AT_ONCE, Handlers, Trigger
from edgemill_agent.plc import Message, messages_class
from edgemill_agent.plc.settings import TriggerSettings

AGAIN_MOST = 100
"""Counts behind the last one that may come again: whoever publishes has no more under way (paho and mosquitto: 20)."""


class TopicTrigger(Trigger):
    """Listens to one topic. See ``Trigger``.

    A message may come twice (QoS 1) or never; its count tells. Those without a count are taken as they come.
    """

    def __init__(self, settings: TriggerSettings, clock: Clock, handlers: Handlers) -> None:
        super().__init__(settings, clock, handlers)
        self._messages = messages_class(settings.kind)(settings.place, settings.timeout_ms / 1e3)
        self._last: int | None = None
        self._answered: int | None = None
        self._heard_ns = 0

    async def _connect(self, answered: int | None) -> None:
        self._answered = answered
        await self._messages.connect(listen=self._settings.topic)

    async def _listen(self) -> None:
        while True:
            self.hear(await self._messages.next())

    async def _close(self) -> None:
        await self._messages.close()

    def hear(self, message: Message) -> None:
        """One message came."""
        told = _content(message.payload)
        product, part = _whole(told.get("product"), 16), told.get("part", True)
        if product is not None:
            self._see_product(product, message.arrived_ns)
        if part is not False:
            encoder = _whole(told.get("encoder"), 32)
            seen = None if encoder is None else Seen(encoder, 0, message.arrived_ns)
            self._see(_whole(told.get("count"), self._settings.bits), message.arrived_ns, seen)
        self._heard_ns = message.arrived_ns

    def _see(self, count: int | None, arrived_ns: int, seen: Seen | None) -> None:
        if count is not None:
            if not self._is_new(count):
                return
            self._last = count
        self._handlers.fired(count, arrived_ns, seen)

    def _is_new(self, count: int) -> bool:
        """Whether nobody heard of this part yet. Those that are missing before it are made up for."""
        bits, first = self._settings.bits, self._last is None
        last = self._answered if self._last is None else self._last
        if last is None:
            return True
        came = came_since(last, count, bits) if first else parts_between(last, count, bits)
        behind = (last - count) % (1 << bits)
        if came == 0 or (came is None and behind <= AGAIN_MOST):
            self._handlers.tell(f"trigger: count {count} came again; it is no new part")
            return False
        if came is None:
            self._handlers.tell(
                f"trigger: the counter went back from {last} to {count}; parts in between are not known"
            )
            return True
        self._fill(count, came - 1, came - 1 if first else max(0, came - 1 - MOST_AT_ONCE))
        return True

    def _fill(self, count: int, lost: int, gone: int) -> None:
        """Parts before ``count`` whose messages did not come: the first ``gone`` are declared, the others judged."""
        bits = self._settings.bits
        first = counted(count, -lost, bits)
        if gone:
            last = counted(first, gone - 1, bits)
            self._handlers.missed(first, last, gone, "nobody was there to judge them")
        for more in range(gone, lost):
            self._handlers.fired(counted(first, more, bits), self._heard_ns, None)


def _content(payload: bytes) -> Mapping[str, object]:
    """What a message says; one that says nothing we know is a part all the same."""
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {"count": found}


def _whole(value: object, bits: int) -> int | None:
    """``value`` if it is a whole number of so many bits; else it is none."""
    is_one = isinstance(value, int) and not isinstance(value, bool)
    return value if is_one and 0 <= value < 1 << bits else None  # type: ignore[operator,return-value]
