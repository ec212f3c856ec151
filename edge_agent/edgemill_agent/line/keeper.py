"""Keeps frames beside the ledger: asks the source worker, which holds them, to write them, and records each."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from edgemill_agent.evidence import frame_file
from edgemill_agent.ledger import Entry
from edgemill_agent.line.journal import Journal
from edgemill_agent.processes.child import Child
from edgemill_core.ledger import Kind

_LIMIT_S = 10.0
_FILE_OVERHEAD = 4096


@dataclass(frozen=True)
class Kept:
    """A frame to keep.

    Attributes:
        number: of the part's verdict.
        slot: where in the ring the frame lies.
    """

    number: int
    item: str
    slot: int
    shape: tuple[int, ...]


class Keeper:
    """Frames are kept one after the other; a frame's slot is given back once it is on the disk, or given up.

    Args:
        station: name of the station.
        journal: where evidence is recorded, and where room for it comes from.
        source: writes the files.
        give_back: told each slot that is free again.
        most: bytes that the station's frames may take; ``None`` if only the box's quota counts.
    """

    def __init__(
        self, station: str, journal: Journal, source: Child, give_back: Callable[[int], None], most: int | None = None
    ) -> None:
        self._station = station
        self._journal = journal
        self._source = source
        self._give_back = give_back
        self._most = most
        self._waiting: deque[Kept] = deque()
        self._work = asyncio.Event()
        self._asked: dict[str, Any] | None = None
        self._answer: asyncio.Future[dict[str, Any]] | None = None

    @property
    def busy(self) -> bool:
        """Whether frames wait to be kept."""
        return bool(self._waiting)

    def keep(self, kept: Kept) -> None:
        """Keep this frame soon."""
        self._waiting.append(kept)
        self._work.set()

    def said(self, message: dict[str, Any]) -> None:
        """The source worker answered."""
        answer, asked = self._answer, self._asked
        if answer is not None and asked is not None and not answer.done() and message["kept"] == asked["file"]:
            answer.set_result(message)

    @property
    def asked(self) -> dict[str, Any] | None:
        """What the source worker has not answered yet; one that is started anew is told of it: the frame is there."""
        return self._asked

    def give_up(self) -> None:
        """The station ends: what waits is declared not kept."""
        while self._waiting:
            self._record(self._waiting.popleft(), {"fault": "the agent was stopped before it was written"})

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self._waiting:
                kept = self._waiting[0]
                told = await self._keep(kept)
                self._waiting.popleft()
                self._record(kept, told)
                self._give_back(kept.slot)

    async def _keep(self, kept: Kept) -> dict[str, Any]:
        size = prod(kept.shape) + _FILE_OVERHEAD
        if not await self._journal.reserve_room(size, self._station, self._most):
            return {"fault": "the quota leaves no room for it"}
        self._answer = asyncio.get_running_loop().create_future()
        file = frame_file(self._station, kept.number)
        self._asked = {"keep": kept.slot, "shape": kept.shape, "file": file}
        self._source.send(self._asked)
        try:
            return await asyncio.wait_for(self._answer, _LIMIT_S)
        except asyncio.TimeoutError:
            return {"fault": f"the source worker did not write it within {_LIMIT_S:.0f} s"}
        finally:
            self._answer = self._asked = None
            await self._journal.release_room(size)

    def _record(self, kept: Kept, told: dict[str, Any]) -> None:
        about = {"number": kept.number, "item": kept.item}
        if "fault" in told:
            self._journal.put(Entry(Kind.EVIDENCE, {**about, "not_kept": told["fault"]}, station=self._station))
            return
        body = {**about, "file": told["kept"], "sha256": told["sha256"], "bytes": told["bytes"]}
        self._journal.put(
            Entry(Kind.EVIDENCE, body, station=self._station, file=told["kept"], file_bytes=told["bytes"])
        )
