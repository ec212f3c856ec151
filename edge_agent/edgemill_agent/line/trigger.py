"""Looks at a controller's counter or bit, and says when a part came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from edgemill_agent.back_off import BackOff
from edgemill_agent.clock import Clock
from edgemill_agent.line.counting import counted, parts_between
from edgemill_agent.plc import Plc, PlcError, plc_class
from edgemill_agent.plc.settings import TriggerSettings

MOST_AT_ONCE = 1000
"""Parts that one look may bring; what is beyond is long gone, and declared without a verdict each."""


class Trigger:
    """Polls one point.

    Args:
        settings: from ``agent.yaml``.
        clock: the box's.
        fired: told each part's count, and the monotonic time (ns) at which it had certainly not come yet.
        missed: told the first and last count of parts that nobody can judge any more, how many, and why.
        changed: told when the connection comes or goes.
        tell: told of trouble, in words.
    """

    def __init__(
        self,
        settings: TriggerSettings,
        clock: Clock,
        fired: Callable[[int, int], None],
        missed: Callable[[int, int, int, str], None],
        changed: Callable[[], None],
        tell: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._fired, self._missed, self._changed, self._tell = fired, missed, changed, tell
        self.connected = False
        self._last: int | None = None
        self._seen_ns = 0
        self._parts = 0

    async def run(self, answered: int | None) -> None:
        """Until cancelled.

        Args:
            answered: count of the last part that an earlier run answered, if that is known.

        Raises:
            MissingPartError: the controller's package is not installed.
        """
        plc = plc_class(self._settings.kind)(self._settings.place, self._settings.timeout_ms / 1e3)
        wait, said = BackOff(), ""
        try:
            while True:
                try:
                    await plc.connect()
                    await self._look(plc, answered)
                    self._set_connected(True)
                    wait.reset()
                    said = ""
                    await self._poll(plc)
                except PlcError as error:
                    self._set_connected(False)
                    if str(error) != said:
                        said = str(error)
                        self._tell(f"trigger: {said}; it is tried again")
                    await asyncio.sleep(wait.wait_s())
        finally:
            await plc.close()

    async def _poll(self, plc: Plc) -> None:
        loop, period = asyncio.get_running_loop(), self._settings.poll_ms / 1e3
        due = loop.time()
        while True:
            due = max(due + period, loop.time())
            await asyncio.sleep(due - loop.time())
            await self._look(plc, None)

    async def _look(self, plc: Plc, answered: int | None) -> None:
        asked_ns = self._clock.monotonic_ns()
        value = await plc.read(self._settings.point)
        if self._settings.bit is not None:
            self._see_bit(value)
        else:
            self._see_count(value % (1 << self._settings.counter_bits), answered)
        self._seen_ns = asked_ns

    def _see_bit(self, value: int) -> None:
        if self._last == 0 and value:
            self._parts = counted(self._parts, 1, 16)
            self._fired(self._parts, self._seen_ns)
        self._last = int(bool(value))

    def _see_count(self, value: int, answered: int | None) -> None:
        bits, last = self._settings.counter_bits, answered if self._last is None else self._last
        came = 0 if last is None else parts_between(last, value, bits)
        if came is None:
            self._tell(f"trigger: the counter went back from {last} to {value}; parts in between are not known")
        elif came and last is not None:
            gone = came if self._last is None else max(0, came - MOST_AT_ONCE)
            if gone:
                self._missed(counted(last, 1, bits), counted(last, gone, bits), gone, "nobody was there to judge them")
            for more in range(gone + 1, came + 1):
                self._fired(counted(last, more, bits), self._seen_ns)
        self._last = value

    def _set_connected(self, connected: bool) -> None:
        if connected != self.connected:
            self.connected = connected
            self._changed()
