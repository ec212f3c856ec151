"""Has the box's health looked at, in a thread: a disk or a sensor that hangs holds up no part."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from edgemill_agent.health.facts import Facts
from edgemill_agent.health.finding import State
from edgemill_agent.health.table import checks_for
from edgemill_agent.health.watch import Change, Mend, Round, Watch
from edgemill_agent.ledger import Entry
from edgemill_agent.settings import AgentSettings
from edgemill_agent.status_file import STALE_S, write_status
from edgemill_agent.updating.slots import names_of
from edgemill_agent.updating.telling import told_of
from edgemill_core.ledger import Kind

_log = logging.getLogger("edgemill.health")
_WRITE_S = 15.0
_HANGS = "health"
"""Name of the check that says that the others do not come back."""
_LEVELS = {State.OK: logging.INFO, State.WARNING: logging.WARNING, State.ALARM: logging.ERROR}


class HealthRounds:
    """One round after the other: facts of the line, checks in a thread, then records, lines in the log, mends.

    Args:
        settings: of the agent.
        facts: what the line knows now.
        figures: more for the status file: processes and counts.
        restart: starts a process anew.
        record: puts an entry into the ledger.
    """

    def __init__(
        self,
        settings: AgentSettings,
        facts: Callable[[], Facts],
        figures: Callable[[], dict[str, Any]],
        restart: Callable[[str], None],
        record: Callable[[Entry], None],
    ) -> None:
        self._settings = settings
        self._facts, self._figures, self._restart, self._record = facts, figures, restart, record
        self._every_s = settings.health.every.total_seconds()
        self._watch = Watch(checks_for(settings), self._every_s, settings.health.mend)
        self._names = names_of(settings.state, (one.bundle for one in settings.stations))
        self._hangs = False
        self._told: dict[str, Any] = {}
        self._written_s = float("-inf")
        self._looked = False

    def states(self) -> list[tuple[str, str, int]]:
        """Check, station and state of each; none before the first round."""
        if not self._looked:
            return [(_HANGS, "", int(State.ALARM if self._hangs else State.OK))]
        found = [(one.check, one.station, int(one.state)) for one in self._watch.standings()]
        return [(_HANGS, "", int(State.ALARM if self._hangs else State.OK)), *found]

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self._one_round()
            except Exception:  # it must not end with the first surprise; what it was is in the log
                _log.exception("a round of the checks failed")

    async def _one_round(self) -> None:
        facts = self._facts()
        if facts.now_s - self._written_s >= _WRITE_S:  # percentiles take a while to be found
            self._told = self._figures()
        round_ = in_daemon_thread(partial(self._round, facts))
        await asyncio.wait([round_], timeout=STALE_S)
        if not round_.done():
            self._say_that_it_hangs()
        found = await round_
        self._hangs = False
        self._apply(found, facts.now_s)

    def _round(self, facts: Facts) -> Round:
        found = self._watch.round(facts)
        if found.changes or facts.now_s - self._written_s >= _WRITE_S:
            with suppress(OSError):  # a full disk is a finding, not the end of the checks
                more = {"releases": told_of(self._settings.state, self._names)} if self._names else {}
                standings = [one.as_dict() for one in self._watch.standings()]
                write_status(self._settings.state, {**self._told, **more, "health": standings})
                self._written_s = facts.now_s
        return found

    def _apply(self, found: Round, now_s: float) -> None:
        if not self._looked:
            self._looked = True
            states = {f"{one.check}/{one.station}": one.state.word for one in self._watch.standings()}
            self._record(Entry(Kind.HEALTH, {"states": states}))
        for change in found.changes:
            self._tell(change)
        for mend in found.mends:
            self._mend(mend, now_s)

    def _tell(self, change: Change) -> None:
        now = change.now
        level = _LEVELS.get(now.state, logging.INFO)
        to_do = f"; {now.to_do}" if now.to_do else ""
        extra = {"station": now.station} if now.station else {}
        _log.log(
            level,
            "%s%s is %s: %s%s",
            f"{now.station}: " * bool(now.station),
            now.check,
            now.state.word,
            now.what,
            to_do,
            extra=extra,
        )
        body = {"check": now.check, "before": change.before.word, "now": now.state.word}
        self._record(Entry(Kind.HEALTH, {**body, "what": now.what, "to_do": now.to_do}, station=now.station))

    def _mend(self, mend: Mend, now_s: float) -> None:
        self._restart(mend.process)
        self._watch.mended(mend, now_s)
        _log.warning("%s is started anew: %s", mend.process, mend.why, extra={"worker": mend.process})
        body = {"check": mend.check, "restarted": mend.process, "what": mend.why}
        self._record(Entry(Kind.HEALTH, body, station=mend.station))

    def _say_that_it_hangs(self) -> None:
        self._hangs = True
        what = f"the checks have not come back for {STALE_S:.0f} s: the disk of the state folder or a sensor hangs"
        _log.error("%s", what)
        self._record(Entry(Kind.HEALTH, {"check": _HANGS, "before": "ok", "now": "alarm", "what": what}))


def in_daemon_thread(work: Callable[[], Any]) -> asyncio.Future[Any]:
    """What ``work`` gives. A process may end while it hangs, which an executor's threads would not let it."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(error: BaseException | None, result: Any) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def run() -> None:
        error, result = None, None
        try:
            result = work()
        except BaseException as raised:
            error = raised
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, error, result)

    threading.Thread(target=run, name="health", daemon=True).start()
    return future
