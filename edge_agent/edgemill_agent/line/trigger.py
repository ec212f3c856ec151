"""What all triggers have in common: a connection that comes back, and what a counter's value means."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from edgemill_agent.back_off import BackOff
from edgemill_agent.clock import Clock
from edgemill_agent.line.tracking import Seen
from edgemill_agent.plc import PlcError
from edgemill_agent.plc.settings import TriggerSettings

MOST_AT_ONCE = 1000
"""Parts that one look may bring; what is beyond is long gone, and declared without a verdict each."""


class Handlers(NamedTuple):
    """Who is told what.

    Attributes:
        fired: a part's count (``None`` where nothing counts), the monotonic time (ns) at which it had certainly not
            come yet, and where the belt was, if that is known.
        missed: the first and last count of parts that nobody can judge any more, how many, and why.
        changed: the connection came or went.
        tell: trouble, in words.
        product: the code of another product that the line makes now, and the monotonic time (ns) of that.
    """

    fired: Callable[[int | None, int, Seen | None], None]
    missed: Callable[[int, int, int, str], None]
    changed: Callable[[], None]
    tell: Callable[[str], None]
    product: Callable[[int, int], None] = lambda code, at_ns: None  # noqa: ARG005


class Trigger(ABC):
    """One point or topic that says when a part is there.

    Args:
        settings: from ``agent.yaml``.
        clock: the box's.
        handlers: who is told.
    """

    def __init__(self, settings: TriggerSettings, clock: Clock, handlers: Handlers) -> None:
        self._settings = settings
        self._clock = clock
        self._handlers = handlers
        self._product: int | None = None
        self.connected = False

    async def run(self, answered: int | None) -> None:
        """Until cancelled.

        Args:
            answered: count of the last part that an earlier run answered, if that is known.

        Raises:
            MissingPartError: the controller's package is not installed.
        """
        wait, said = BackOff(), ""
        try:
            while True:
                try:
                    await self._connect(answered)
                    self._set_connected(True)
                    wait.reset()
                    said = ""
                    await self._listen()
                except PlcError as error:
                    self._set_connected(False)
                    if str(error) != said:
                        said = str(error)
                        self._handlers.tell(f"trigger: {said}; it is tried again")
                    await asyncio.sleep(wait.wait_s())
        finally:
            await self._close()

    @abstractmethod
    async def _connect(self, answered: int | None) -> None:
        """Raises ``PlcError``."""

    @abstractmethod
    async def _listen(self) -> None:
        """Until the connection breaks; raises ``PlcError``."""

    @abstractmethod
    async def _close(self) -> None:
        """Close the connection."""

    def _see_product(self, code: int, at_ns: int) -> None:
        if code != self._product:
            self._product = code
            self._handlers.product(code, at_ns)

    def _set_connected(self, connected: bool) -> None:
        if connected != self.connected:
            self.connected = connected
            self._handlers.changed()
