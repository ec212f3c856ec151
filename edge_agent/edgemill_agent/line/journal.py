"""Between stations and ledger: group commit, numbers ahead of need, and what happens while the disk is full."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from edgemill_agent.ledger import Ages, Entry, Ledger
from edgemill_core.errors import LedgerError
from edgemill_core.ledger import Kind, Ranges

T = TypeVar("T")
_LOW = 500
_HELD_MOST = 10_000
_RETRY_S = 0.5
_PACE_S = 0.01
"""From one commit to the next at least: it costs the processor and wears the flash alike for one record and for ten."""
_GROUP_MOST = 1000
"""Records of one commit, so that the write-ahead log stays small."""


class Journal:
    """Everything the line does with its ledger; a thread of its own keeps the disk from holding up deadlines.

    While one group is committed the next one gathers. If the disk is full, entries are held and tried again; beyond
    ``held_most`` the oldest verdicts are counted as lost, and declared as soon as there is room.

    Args:
        ledger: open.
        committed: told the ledger's last position after each commit.
        trouble: told, in words, what is wrong, once for each time it begins, and ``""`` when it is over.
        held_most: entries that may wait for the disk.
    """

    def __init__(
        self,
        ledger: Ledger,
        committed: Callable[[int], None],
        trouble: Callable[[str], None],
        held_most: int = _HELD_MOST,
    ) -> None:
        self._ledger = ledger
        self._committed = committed
        self._trouble = trouble
        self._held_most = held_most
        self._held: deque[Entry] = deque()
        self._lost = Ranges()
        self._numbers: deque[int] = deque()
        self._given: set[int] = set()
        self._waited_for: dict[int, Callable[[bool], None]] = {}
        self._acknowledged = self._acknowledged_durably = 0
        self._work = asyncio.Event()
        self._changed = asyncio.Condition()
        self._one_at_a_time = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, "ledger")
        self._closing = False
        self._broken = False
        self._committing = False

    def put(self, entry: Entry, recorded: Callable[[bool], None] | None = None) -> None:
        """Record ``entry`` soon.

        Args:
            recorded: of a verdict; told once whether it is on the disk now, or lost.
        """
        if recorded is not None:
            self._waited_for[entry.number] = recorded
        self._held.append(entry)
        self._shed()
        self._work.set()

    async def number(self) -> int:
        """The next number, from a block that was reserved durably; waits while the disk gives none."""
        if len(self._numbers) < _LOW:
            self._work.set()
        async with self._changed:
            await self._changed.wait_for(lambda: self._numbers)
        return self._give()

    def number_now(self) -> int | None:
        """As ``number``; ``None`` if there is none at once."""
        if len(self._numbers) < _LOW:
            self._work.set()
        return self._give() if self._numbers else None

    def _give(self) -> int:
        number = self._numbers.popleft()
        self._given.add(number)
        return number

    def acknowledge(self, position: int) -> None:
        """The consumer has everything up to ``position``; written down with the next commit."""
        self._acknowledged = position
        self._work.set()

    @property
    def held(self) -> dict[Kind, int]:
        """Bytes of payloads and kept frames in the ledger, per kind."""
        return self._ledger.held

    async def reserve_room(self, size: int, station: str = "", most: int | None = None) -> bool:
        """Promise ``size`` bytes on the disk to a frame; false if the quotas do not leave as much."""
        return await self._in_thread(lambda: self._ledger.reserve_room(size, station, most))

    async def release_room(self, size: int) -> None:
        """The frame was written, or will not be."""
        await self._in_thread(lambda: self._ledger.release_room(size))

    async def keep_house(self, ran_s: float, ages: Ages, delivered: bool) -> None:
        """Remove what is older than was asked for; see ``Ledger.keep_house``.

        Raises:
            LedgerError: the disk fails.
        """
        async with self._one_at_a_time:
            pending = [*self._given, *(first for first, _ in self._lost), *list(self._numbers)[:1]]
            numbers_from = min(pending, default=0)
            await self._in_thread(lambda: self._ledger.keep_house(ran_s, ages, delivered, numbers_from))
        self._committed(self._ledger.position)

    async def flushed(self) -> None:
        """Wait until nothing is held, or the disk takes nothing."""
        while (self._held or len(self._lost) or self._committing) and not self._broken:
            await asyncio.sleep(0.005)

    async def run(self) -> None:
        """Commit until closed."""
        try:
            await self._run()
        except BaseException:
            self._broken = True  # whoever waits for what is held waits in vain
            raise

    async def _run(self) -> None:
        loop, next_s = asyncio.get_running_loop(), 0.0
        while not (self._closing and not self._held and not len(self._lost)):
            await self._work.wait()
            if not self._closing:
                await asyncio.sleep(next_s - loop.time())
            self._work.clear()
            next_s = loop.time() + _PACE_S
            try:
                async with self._one_at_a_time:
                    await self._round()
            except LedgerError as error:
                if not self._broken:
                    self._broken = True
                    self._trouble(str(error))
                if self._closing:
                    return
                await asyncio.sleep(_RETRY_S)
                self._work.set()
            else:
                if self._broken:
                    self._broken = False
                    self._trouble("")

    async def close(self, task: asyncio.Task[None]) -> None:
        """Commit what is held, declare numbers that were given and not used, and close the ledger."""
        self._closing = True
        self._work.set()
        await task
        given = sorted(self._given)
        try:
            await self._in_thread(lambda: self._ledger.close(given))
        finally:
            self._thread.shutdown()

    async def _round(self) -> None:
        if len(self._numbers) < _LOW:
            first, last = await self._in_thread(self._ledger.reserve)
            async with self._changed:
                self._numbers.extend(range(first, last + 1))
                self._changed.notify_all()
        if self._held or len(self._lost):
            await self._commit()
        position = self._acknowledged
        if position != self._acknowledged_durably:
            await self._in_thread(lambda: self._ledger.acknowledge(position))
            self._acknowledged_durably = position

    async def _commit(self) -> None:
        """Record all that is held. It is taken out first, because more may be held, and lost, while the disk works."""
        group = [self._held.popleft() for _ in range(min(len(self._held), _GROUP_MOST))]
        lost, self._lost = self._lost, Ranges()
        self._committing = True  # what is in no queue any more is not on the disk yet
        try:
            await self._in_thread(lambda: self._ledger.append([*_declared(lost), *group]))
        except LedgerError:
            self._held.extendleft(reversed(group))
            for first, last in self._lost:
                for number in range(first, last + 1):
                    lost.add(number)
            self._lost = lost
            self._shed()
            raise
        finally:
            self._committing = False
        for entry in group:
            self._given.discard(entry.number)
            self._say_recorded(entry, True)
        if self._held:
            self._work.set()
        self._committed(self._ledger.position)

    def _shed(self) -> None:
        while len(self._held) > self._held_most:
            self._lose(self._held.popleft())

    def _lose(self, entry: Entry) -> None:
        if entry.kind is Kind.VERDICT:
            self._lost.add(entry.number)
            self._given.discard(entry.number)
            self._say_recorded(entry, False)

    def _say_recorded(self, entry: Entry, so: bool) -> None:
        # Of all kinds that carry a number, only verdicts are waited for.
        waited = self._waited_for.pop(entry.number, None) if entry.kind is Kind.VERDICT else None
        if waited is not None:
            waited(so)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _declared(lost: Ranges) -> list[Entry]:
    if not len(lost):
        return []
    ranges = [list(pair) for pair in lost]
    why = "the disk took no more records and memory for them ran out"
    return [Entry(Kind.LOST, {"count": len(lost), "ranges": ranges, "why": why})]
