"""Throws rejected parts out: reads the belt's encoder, and sets and resets the ejector's point."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from edgemill_agent.clock import Clock
from edgemill_agent.line.tracking import Call, Seen, Tracking, Way
from edgemill_agent.plc import Plc
from edgemill_agent.plc.settings import EjectSettings


@dataclass(frozen=True)
class Ejected:
    """What became of a rejected part.

    Attributes:
        went: counts that the belt had carried it when the controller confirmed its ejector; ``None`` if it did not.
        fault: why not.
    """

    went: int | None
    fault: str = ""


@dataclass(frozen=True, eq=False)
class Followed:
    """A part on its way.

    Attributes:
        way: of the belt.
        decide: gives it the safe verdict.
        told: what became of it, if it is rejected.
    """

    way: Way
    decide: Callable[[], None]
    told: asyncio.Future[Ejected]


class Ejector:
    """One ejector behind one controller. What it owes survives a broken connection, as long as a part is within reach.

    Args:
        settings: from ``agent.yaml``.
        clock: the box's.
    """

    def __init__(self, settings: EjectSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        fastest = settings.fastest or 2 * settings.window / (settings.look_ms / 1e3)
        self._tracking = Tracking(settings.distance, settings.window, settings.counter_bits, fastest)
        self._followed: dict[Way, Followed] = {}
        self._on_until_ns: int | None = 0
        self._look_at_ns = 0

    def expect(self, seen: Seen | None, decide: Callable[[], None]) -> Followed:
        """A part was seen; it is followed until it is judged, and then if it is rejected."""
        way = self._tracking.expect(seen)
        self._followed[way] = Followed(way, decide, asyncio.get_running_loop().create_future())
        return self._followed[way]

    def judge(self, followed: Followed, reject: bool) -> None:
        """Its verdict is there."""
        self._tracking.judge(followed.way, reject)
        if not reject:
            self._followed.pop(followed.way, None)
        elif followed.way.fault:  # it may not be followed any more
            self._end(followed.way, Ejected(None, followed.way.fault))

    def unknown(self) -> None:
        """A new connection: the point may stand at 1 from before, so it is written."""
        self._on_until_ns = self._on_until_ns or 0

    @property
    def due_ns(self) -> int:
        """When ``turn`` is to be called again, by the monotonic clock."""
        return self._look_at_ns if self._on_until_ns is None else min(self._look_at_ns, self._on_until_ns)

    async def turn(self, plc: Plc) -> None:
        """Do what is due.

        Raises:
            PlcError: the encoder could not be read, or the point not be written; call again with a new connection.
        """
        now = self._clock.monotonic_ns()
        if now >= self._look_at_ns:
            self._look_at_ns = now + int(self._settings.look_ms * 1e6)
            point = self._settings.encoder
            encoder = (await plc.read_all({point: self._settings.counter_bits}))[point]
            self._tracking.see(encoder, self._clock.monotonic_ns())
            await self._obey(plc)
        if self._on_until_ns is not None and self._clock.monotonic_ns() >= self._on_until_ns:
            await plc.write({self._settings.point: 0})
            self._on_until_ns = None

    def blind(self) -> None:
        """There is no connection."""
        self._tracking.blind(self._clock.monotonic_ns())
        self._let_go()

    async def rest(self, plc: Plc) -> None:
        """The agent ends: nothing is thrown out any more.

        Raises:
            PlcError: the point could not be written.
        """
        await plc.write({self._settings.point: 0})

    def let_all_go(self) -> None:
        """The agent ends: what is still on its way is told as not thrown out."""
        for way in list(self._followed):
            self._end(way, Ejected(None, "the agent ended before it was at the ejector"))

    async def _obey(self, plc: Plc) -> None:
        for way, call in self._tracking.calls():
            if call is Call.DECIDE:
                self._followed[way].decide()
        there = [way for way, call in self._tracking.calls() if call is Call.EJECT]
        if there:
            # Not before the write: where it fails, the next connection tries again while the part is within reach.
            await plc.write({self._settings.point: 1})
            self._on_until_ns = self._clock.monotonic_ns() + self._settings.pulse_ms * 1_000_000
            for way in there:
                self._end(way, Ejected(self._tracking.went(way)))
        self._let_go()

    def _let_go(self) -> None:
        for way, call in self._tracking.calls():
            if call is Call.GONE:
                self._end(way, Ejected(None, way.fault))

    def _end(self, way: Way, ejected: Ejected) -> None:
        self._tracking.done(way)
        followed = self._followed.pop(way, None)
        if followed is not None and not followed.told.done():
            followed.told.set_result(ejected)
