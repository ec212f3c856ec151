"""Looks at a controller's counter or bit, and says when a part came."""

from __future__ import annotations

import asyncio

from edgemill_agent.clock import Clock
from edgemill_agent.line.counting import came_since, counted, parts_between
from edgemill_agent.line.tracking import Seen, moved
from edgemill_agent.line.trigger import MOST_AT_ONCE, Handlers, Trigger
from edgemill_agent.plc import plc_class
from edgemill_agent.plc.settings import TriggerSettings

_GONE = "nobody was there to judge them"


class PlcTrigger(Trigger):
    """Polls a point, and in the same look the belt's encoder and the product. See ``Trigger``."""

    def __init__(self, settings: TriggerSettings, clock: Clock, handlers: Handlers) -> None:
        super().__init__(settings, clock, handlers)
        self._plc = plc_class(settings.kind)(settings.place, settings.timeout_ms / 1e3)
        self._last: int | None = None
        self._parts: int | None = None
        self._encoder: int | None = None
        self._seen_ns = self._product_at_ns = 0

    async def _connect(self, answered: int | None) -> None:
        await self._plc.connect()
        await self._look(answered)

    async def _listen(self) -> None:
        loop, period = asyncio.get_running_loop(), self._settings.poll_ms / 1e3
        due = loop.time()
        while True:
            due = max(due + period, loop.time())
            await asyncio.sleep(due - loop.time())
            await self._look(None)

    async def _close(self) -> None:
        await self._plc.close()

    async def _look(self, answered: int | None) -> None:
        settings, asked_ns = self._settings, self._clock.monotonic_ns()
        points = {settings.point: settings.bits if settings.counter else 16}
        if settings.encoder is not None:
            points[settings.encoder] = settings.encoder_bits
        if settings.product is not None and asked_ns >= self._product_at_ns:
            points[settings.product] = 16
        values = await self._plc.read_all(points)
        if settings.product in points:
            self._product_at_ns = asked_ns + settings.product_ms * 1_000_000
            self._see_product(values[settings.product], asked_ns)
        seen = self._see_belt(values[settings.encoder]) if settings.encoder is not None else None
        value = values[settings.point]
        if settings.bit is not None:
            self._see_bit(value, answered, seen)
        else:
            self._see_count(value % (1 << settings.bits), answered, seen)
        self._seen_ns = asked_ns

    def _see_belt(self, encoder: int) -> Seen:
        """Where the belt is, and how far it went since the look before: by so much nobody knows where the part was."""
        before = encoder if self._encoder is None else self._encoder
        self._encoder = encoder
        return Seen(encoder, abs(moved(before, encoder, self._settings.encoder_bits)), self._clock.monotonic_ns())

    def _see_bit(self, value: int, answered: int | None, seen: Seen | None) -> None:
        if self._parts is None:
            self._parts = answered or 0
        if self._last == 0 and value:
            self._parts = counted(self._parts, 1, 16)
            self._handlers.fired(self._parts, self._seen_ns, seen)
        self._last = int(bool(value))

    def _see_count(self, value: int, answered: int | None, seen: Seen | None) -> None:
        bits, last = self._settings.bits, self._last
        if last is None:
            self._see_first(value, answered)
        else:
            came = parts_between(last, value, bits)
            if came is None:
                self._handlers.tell(
                    f"trigger: the counter went back from {last} to {value}; parts in between are not known"
                )
            gone = max(0, (came or 0) - MOST_AT_ONCE)
            if gone:
                self._handlers.missed(counted(last, 1, bits), counted(last, gone, bits), gone, _GONE)
            for more in range(gone + 1, (came or 0) + 1):
                self._handlers.fired(counted(last, more, bits), self._seen_ns, seen)
        self._last = value

    def _see_first(self, value: int, answered: int | None) -> None:
        """Parts that came since an earlier run are gone."""
        if answered is None:
            return
        bits = self._settings.bits
        came = came_since(answered, value, bits)
        if came is None:
            self._handlers.tell(
                f"trigger: the counter went back from {answered} to {value}; parts in between are not known"
            )
        elif came:
            self._handlers.missed(counted(value, 1 - came, bits), value, came, _GONE)
