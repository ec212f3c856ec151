"""Has the box look after updates by itself: when, and what the line hears of it. The work is a process of its own."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edgemill_agent.back_off import BackOff
from edgemill_agent.line.health import in_daemon_thread
from edgemill_agent.processes.child import Child
from edgemill_agent.settings import AgentSettings
from edgemill_agent.updating.book import read_book
from edgemill_agent.updating.box import read_box
from edgemill_agent.updating.reproving import needs_proof
from edgemill_agent.updating.slots import names_of, read_slots
from edgemill_agent.updating.states import State
from edgemill_core.errors import LedgerError

_log = logging.getLogger("edgemill.updates")
_TICK_S, _BOX_S = 1.0, 60.0
_FIRST_MOST_S = 300.0
"""The boxes of a hall that were switched on together do not all ask at once, and none waits for long."""
_AGAIN_S, _LONGEST_S = 60.0, 6 * 3600.0
_JITTER = 0.1
_OTHERS_TURN = (State.PLANNED, State.TRIAL)
"""The server's, and the line's."""
_READY_MOST_S = 120.0
"""A station that cannot judge may be just what an update mends."""


class Pace:
    """When to look: pure, but for the dice.

    Args:
        every_s: seconds from one time that the server is asked to the next; ``None`` for never.
        now_s: of a monotonic clock.
        dice: gives a number between two others.
    """

    def __init__(
        self, every_s: float | None, now_s: float, dice: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._every_s, self._dice = every_s, dice
        self.ask_at_s = float("inf") if every_s is None else now_s + dice(0, min(every_s, _FIRST_MOST_S))
        self.box_at_s = now_s
        self._asking = BackOff(every_s or 1.0, max(every_s or 1.0, _LONGEST_S))
        self._working = BackOff(_AGAIN_S, _LONGEST_S)

    def asked(self, reached: bool, now_s: float) -> None:
        """The server was asked; one that was not reached is asked less and less often."""
        if self._every_s is None:
            return
        if reached:
            self._asking.reset()
            self.ask_at_s = now_s + self._every_s * self._dice(1 - _JITTER, 1 + _JITTER)
        else:
            self.ask_at_s = now_s + self._asking.wait_s()

    def looked(self, well: bool, now_s: float) -> None:
        """The box was looked at; where that brought no proof, as with a process that dies over it, it takes longer."""
        if well:
            self._working.reset()
        self.box_at_s = now_s + (_BOX_S if well else self._working.wait_s())


@dataclass
class Look:
    """What came of one look.

    Attributes:
        done: it came to its end.
        trouble: what it ended over: the kind of error, and words.
    """

    done: bool = False
    trouble: tuple[str, str] = ("", "")


class Updates:
    """Runs beside the stations.

    Args:
        file: ``agent.yaml``.
        settings: as the agent started with them.
        judging: whether every station judges.
        decided: how often it was decided whether an engine stays, at all stations.
        changed: told that the slots are others now, or that the ledger is to hear of something.
        record: told of what a server sent and is not believed, in words.
        processes: told whenever the process was started or has ended.
    """

    def __init__(
        self,
        file: Path,
        settings: AgentSettings,
        judging: Callable[[], bool],
        decided: Callable[[], int],
        changed: Callable[[], None],
        record: Callable[[str], None],
        processes: Callable[[], None],
    ) -> None:
        self._file, self._state, self._deadlines = file, settings.state, settings.keeps_deadlines
        self._judging, self._decided, self._changed = judging, decided, changed
        self._record, self._processes = record, processes
        self._every = settings.fleet.every if settings.fleet is not None else None
        self.names = names_of(self._state, (station.bundle for station in settings.stations))
        self.child: Child | None = None
        self.trouble = ""

    async def run(self) -> None:
        """Until cancelled."""
        if not self.names:
            return
        loop = asyncio.get_running_loop()
        await self._until_judging(loop.time() + _READY_MOST_S)
        pace, known = Pace(self._every.total_seconds() if self._every else None, loop.time()), 0
        tried = known
        while True:
            decided, now_s = self._decided(), loop.time()
            ask = now_s >= pace.ask_at_s
            box = now_s >= pace.box_at_s and (
                decided != known or await in_daemon_thread(self._something_to_do)  # another one went on the last time
            )
            if decided != tried or ask or box:
                look = await self._look(ask)
                tried, known = decided, decided if look.done else known
                if ask:
                    pace.asked(look.done, loop.time())
                pace.looked(look.done or not box, loop.time())
            elif now_s >= pace.box_at_s:
                pace.looked(True, now_s)
            await asyncio.sleep(_TICK_S)

    async def _until_judging(self, until_s: float) -> None:
        while not self._judging() and asyncio.get_running_loop().time() < until_s:
            await asyncio.sleep(_TICK_S)

    def _something_to_do(self) -> bool:
        """Whether the box is another one, or an update was cut: what came is here, and the line does not decide it."""
        box = read_box()
        try:
            updates = [one for name, one in read_book(self._state).updates.items() if name in self.names]
            cut = any(not one.ended and one.state not in _OTHERS_TURN for one in updates)
            return cut or any(needs_proof(read_slots(self._state, name), box) for name in self.names)
        except LedgerError as error:
            _log.warning("%s", error)
            return False

    async def _look(self, ask: bool) -> Look:
        """One process, from its start to its end."""
        look = Look()
        first = {"settings": str(self._file), "follow": ask, "deadlines": self._deadlines}
        child = Child("update", "edgemill_agent.update_process", lambda: first, changed=self._processes)
        self.child = child
        try:
            await child.keep(partial(self._heard, look), child.stop)
        finally:
            self.child = None
            self._processes()
        self._tell_trouble(look, ask)
        return look

    def _heard(self, look: Look, message: dict[str, Any]) -> None:
        if "doing" in message:
            _log.info("%s", message["doing"])
        if "changed" in message:
            self._changed()
        if "refused" in message:
            error = message["refused"]
            look.trouble = (str(error["error"]), f"{error['what']} ({error['got']})")
        look.done = look.done or "done" in message

    def _tell_trouble(self, look: Look, asked: bool) -> None:
        """Once for each trouble: a box without a network would fill its log with it."""
        kind, words = ("", "") if look.done else look.trouble
        if not look.done and not words:
            kind, words = "crash", "the process that looks after updates died"
        if kind == "InputError" or (not asked and not words):
            return  # another one goes on, or nobody was asked
        before, self.trouble = self.trouble, words
        if words == before:
            return
        if not words:
            _log.info("updates can be looked for again")
        elif kind == "Refused":
            _log.error("updates are not believed: %s", words)
            self._record(words)
        else:
            _log.warning("updates cannot be looked for: %s; what judges goes on, and it is tried again", words)
