"""The line process itself: opens the ledger, starts everything, and ends in order."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edgemill_agent.clock import Clock, ClockWatch
from edgemill_agent.health.facts import Facts
from edgemill_agent.ledger import COUNTED, Entry, open_ledger
from edgemill_agent.line.figures import resident_megabytes, station_figures
from edgemill_agent.line.health import HealthRounds
from edgemill_agent.line.journal import Journal
from edgemill_agent.line.station import Station
from edgemill_agent.line.updates import Updates
from edgemill_agent.processes.child import Child
from edgemill_agent.processes.orphans import end_orphans
from edgemill_agent.processes.priority import step_forward
from edgemill_agent.processes.supervisor import Supervisor
from edgemill_agent.reload import needs_start, to_swap
from edgemill_agent.settings import AgentSettings, StationSettings, read_settings
from edgemill_agent.source_memory import others
from edgemill_agent.updating.book import untold
from edgemill_core.errors import LedgerError, SettingsError
from edgemill_core.ledger import Kind
from edgemill_core.secrets import masked

_log = logging.getLogger("edgemill.agent")
_GOOD_BYE_S = 2.0
_CLOCK_S = 0.5
_READY_S = 0.2
_HOUSE_S = 60.0
_FIGURES_S = 5.0
_NO_BROKER_S = 5.0
"""A stop waits no longer than this for a broker that is not there."""


@dataclass
class Delivery:
    """How far the consumer has the ledger.

    Attributes:
        position: up to which it acknowledged.
        last: position of the last record.
        connected: whether the link process has a broker.
    """

    position: int
    last: int
    connected: bool = False


class Line:
    """One agent. Make it, then ``await run()`` once.

    Args:
        settings: from ``agent.yaml``.
        clock: the box's.
        read_again: reads the settings anew, for ``reload``.
        file: where they stand, for the process that looks after updates; nothing is looked after if not given.
    """

    def __init__(
        self,
        settings: AgentSettings,
        clock: Clock,
        read_again: Callable[[], AgentSettings] | None = None,
        file: Path | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._read_again = read_again
        self._stations: list[Station] = []
        self._link: Child | None = None
        self._updates = self._make_updates(file)
        self._stop = asyncio.Event()
        self._updates_told = 0
        self._ledger_trouble = ""
        self._jump: tuple[float, float] | None = None

    async def run(self) -> dict[str, Any]:
        """Until every source has ended, or a signal says stop; returns the account.

        Raises:
            LedgerError: the ledger cannot be opened.
            EngineError: a station's bundle cannot be used.
        """
        priority = step_forward()
        if priority:
            _log.info("the line process runs at real-time priority %d", priority)
        ledger, opened = open_ledger(self._settings.state, self._clock, self._settings.retention.quota)
        if opened.void:
            _log.warning("the last run was not closed: numbers %s are declared void", list(opened.void))
        orphans = end_orphans()
        if orphans:
            _log.warning("ended workers whose line process was gone: %s", orphans)
        self._ledger_id = opened.id
        self._delivery = Delivery(opened.acknowledged, ledger.position)
        self._updates_told = int(opened.cursors.get("", "0"))
        self._journal = Journal(ledger, self._committed, self._ledger_says)
        journal = asyncio.create_task(self._journal.run())
        journal.add_done_callback(lambda _: self._stop.set())  # without it nothing can be numbered
        self._catch_signals()
        self._note_updates()
        self._health = HealthRounds(self._settings, self._facts, self._told_of_health, self._restart, self._journal.put)
        supervisor = Supervisor(os.environ, os.getpid())
        chores = [
            asyncio.create_task(_show_life(supervisor)),
            asyncio.create_task(self._watch_clock(ClockWatch(self._clock, opened.clock_offset))),
            asyncio.create_task(self._keep_house()),
            asyncio.create_task(self._note_metrics()),
            asyncio.create_task(self._show_figures()),
            asyncio.create_task(self._health.run()),
            *([asyncio.create_task(self._updates.run())] if self._updates is not None else []),
        ]
        try:
            self._link = self._make_link()
            link = asyncio.create_task(self._keep_link())
            try:
                supervisor.ready()
                await self._run_stations(opened.cursors)
            finally:
                supervisor.stopping()
                await self._end_link(link)
        finally:
            for chore in chores:
                chore.cancel()
            await asyncio.gather(*chores, return_exceptions=True)
            await self._journal.close(journal)
            self._tell_processes()
        return self._account()

    def stop(self) -> None:
        """Take no more parts, finish those that are here, deliver, and end; a signal to stop does the same."""
        self._stop.set()

    def reload(self) -> None:
        """Read the settings again; stations that are to have another engine get it while they run (SIGHUP does this).

        What became of it goes into the ledger.
        """
        try:
            now = self._read_again() if self._read_again is not None else self._settings
        except SettingsError as error:
            self._refuse_settings(" ".join(str(error).split()))
            return
        if changed := needs_start(self._settings, now):
            self._refuse_settings(f"these need another start of the agent: {', '.join(changed)}")
            return
        asked = to_swap(self._settings, now)
        self._settings = now
        self._note_updates()
        self._journal.put(Entry(Kind.SWAP, {"outcome": "read", "asked": asked}))
        for station, settings in zip(self._stations, now.stations, strict=True):
            station.use(settings)

    async def _take_up_trial(self) -> None:
        """An agent starts on what worked; what is on trial takes over once every station judges."""
        if self._read_again is None:
            return
        try:
            trial = self._read_again()
        except SettingsError:
            return  # a mend that is not finished; the next reload says so
        if not to_swap(self._settings, trial):
            return
        while not all(station.engines.ready for station in self._stations):
            await asyncio.sleep(_READY_S)
        self.reload()

    def _note_updates(self) -> None:
        """Record what became of updates since the last time; the cursor moves with the record, so each stands once."""
        try:
            told = untold(self._settings.state, self._updates_told)
        except LedgerError as error:
            _log.warning("%s", error)
            return
        for one in told:
            body = one.model_dump(mode="json", exclude={"number"})
            self._journal.put(Entry(Kind.UPDATE, body, item=str(one.number)))
            self._updates_told = one.number

    def _make_updates(self, file: Path | None) -> Updates | None:
        if file is None:
            return None
        # A station may name a bundle by its place in the slots: that one is not kept up to date, and not proved anew.
        followed = {one.release for one in read_settings(file, "names").stations}
        updates = Updates(
            file,
            self._settings,
            lambda: bool(self._stations) and all(station.engines.ready for station in self._stations),
            lambda: sum(station.engines.decided for station in self._stations),
            self.reload,
            lambda words: self._journal.put(Entry(Kind.UPDATE, {"state": "not believed", "why": masked(words)})),
            self._tell_processes,
        )
        updates.names = [name for name in updates.names if name in followed]
        return updates

    def _refuse_settings(self, why: str) -> None:
        why = masked(why)  # the ledger keeps it for years
        _log.error("the settings were read again and are not taken up: %s", why)
        self._journal.put(Entry(Kind.SWAP, {"outcome": "refused", "why": why}))

    async def _watch_clock(self, watch: ClockWatch) -> None:
        while True:
            jump = watch.look()
            if jump is not None:
                _log.warning("the wall clock jumped by %.1f s", jump)
                self._jump = (self._clock.monotonic_ns() / 1e9, jump)
                self._journal.put(Entry(Kind.CLOCK, {"jump_s": round(jump, 3)}))
            await asyncio.sleep(_CLOCK_S)

    async def _keep_house(self) -> None:
        ages, delivered = self._settings.retention.ages(self._settings.stations), self._settings.mqtt is not None
        while True:
            before = self._clock.monotonic_ns()
            await asyncio.sleep(_HOUSE_S)
            try:
                await self._journal.keep_house((self._clock.monotonic_ns() - before) / 1e9, ages, delivered)
            except LedgerError as error:
                _log.warning("%s", error)

    async def _note_metrics(self) -> None:
        while True:
            await asyncio.sleep(self._settings.metrics_s)
            self._journal.put(Entry(Kind.METRICS, self._figures()))

    async def _show_figures(self) -> None:
        while self._settings.http is not None:
            if self._link is not None:
                with suppress(BlockingIOError):  # it is behind; the next ones are newer
                    more = {"connected": self._delivery.connected, "health": self._health.states()}
                    self._link.nudge({"figures": {**self._figures(), **more}})
            await asyncio.sleep(_FIGURES_S)

    def _figures(self) -> dict[str, Any]:
        stations = {station.settings.name: station_figures(station) for station in self._stations}
        return {"stations": stations, "line_mb": resident_megabytes(), "not_acknowledged": self._behind()}

    def _facts(self) -> Facts:
        return Facts(
            now_s=self._clock.monotonic_ns() / 1e9,
            utc_s=self._clock.utc_ns() / 1e9,
            state=self._settings.state,
            held=self._journal.held,
            ledger_trouble=self._ledger_trouble,
            connected=self._delivery.connected if self._settings.mqtt is not None else None,
            not_acknowledged=self._behind(),
            jump=self._jump,
            processes={"line": os.getpid(), **self._processes()},
            stations={station.settings.name: station.facts() for station in self._stations},
        )

    def _told_of_health(self) -> dict[str, Any]:
        processes = {"line": os.getpid(), **self._processes()}
        return {"device": self._settings.device.id, "processes": processes, **self._figures()}

    def _restart(self, process: str) -> None:
        """Start a child anew."""
        if self._link is not None and process == self._link.name:
            self._link.kill()
        else:
            any(station.restart(process) for station in self._stations)

    def _ledger_says(self, trouble: str) -> None:
        self._ledger_trouble = trouble
        _ledger_trouble(trouble)

    def _behind(self) -> int:
        """Records that the consumer does not have yet; none where nothing is sent."""
        return self._delivery.last - self._delivery.position if self._settings.mqtt is not None else 0

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with suppress(ValueError):  # not the main thread
                loop.add_signal_handler(number, self.stop)
        with suppress(ValueError):
            loop.add_signal_handler(signal.SIGHUP, self.reload)

    async def _run_stations(self, cursors: Mapping[str, str]) -> None:
        other = others(self._settings.state, self._settings.stations)
        for settings in self._settings.stations:
            after, counted = cursors.get(settings.name, ""), cursors.get(settings.name + COUNTED)
            station = self._station(settings, after, int(counted) if counted else None)
            if settings.name in other:
                _log.warning("%s has another source now; it is taken from its beginning", settings.name)
                station.begin_anew()
            self._stations.append(station)
        tasks = [asyncio.create_task(station.run()) for station in self._stations]
        stopper = asyncio.create_task(self._stop_in_order())
        trial = asyncio.create_task(self._take_up_trial())
        try:
            await asyncio.gather(*tasks)
        finally:
            stopper.cancel()
            trial.cancel()
            for station in self._stations:
                station.stop()
            await asyncio.gather(*tasks, stopper, trial, return_exceptions=True)

    def _station(self, settings: StationSettings, after: str, counted: int | None) -> Station:
        return Station(
            settings,
            after,
            self._settings.state,
            self._journal,
            self._clock,
            partial(_log.warning, "%s", extra={"station": settings.name}),
            self._settings.silent_s,
            self._station_changed,
            counted,
            self._settings.plan_store,
        )

    async def _stop_in_order(self) -> None:
        await self._stop.wait()
        _log.info("stopping: parts that are here get their verdicts")
        for station in self._stations:
            station.stop_source()
        await asyncio.sleep(self._settings.drain_s)
        for station in self._stations:
            station.stop()

    def _make_link(self) -> Child | None:
        if self._settings.mqtt is None and self._settings.http is None:
            return None
        module, silent_s = "edgemill_agent.link_process", self._settings.silent_s
        return Child("link", module, self._first_for_link, (), silent_s, self._tell_processes)

    async def _keep_link(self) -> None:
        if self._link is not None:
            await self._link.keep(self._link_said, self._link_ended)

    def _link_ended(self) -> None:
        self._delivery.connected = False

    def _first_for_link(self) -> dict[str, Any]:
        mqtt, http = self._settings.mqtt, self._settings.http
        return {
            "device": self._settings.device.id,
            "state": str(self._settings.state),
            "broker": mqtt.model_dump(mode="json") if mqtt is not None else None,
            "http": http.model_dump(mode="json") if http is not None else None,
            "facts": self._told_of_box(),
        }

    def _told_of_box(self) -> dict[str, Any]:
        return {
            "device": self._settings.device.model_dump(),
            "ledger": self._ledger_id,
            "stations": {station.settings.name: dict(station.engines.active.facts) for station in self._stations},
        }

    def _station_changed(self) -> None:
        self._tell_processes()
        if self._link is not None:
            with suppress(BlockingIOError):  # it is told again at its next start
                self._link.nudge({"facts": self._told_of_box()})

    def _link_said(self, message: dict[str, Any]) -> None:
        if "refused" in message:
            _log.error("link: %s (%s)", message["refused"]["what"], message["refused"]["got"])
        if "connected" in message:
            self._delivery.connected = message["connected"]
            _log.info("link: %s", "connected" if message["connected"] else "no connection")
        if "trouble" in message:
            _log.warning("link: %s", message["trouble"])
        if "acknowledged" in message:
            self._delivery.position = message["acknowledged"]
            self._journal.acknowledge(message["acknowledged"])

    async def _end_link(self, task: asyncio.Task[None]) -> None:
        """Give the consumer the time that a stop may take to acknowledge what is left."""
        if self._link is not None:
            loop = asyncio.get_running_loop()
            until, alone_since = loop.time() + self._settings.drain_s, loop.time()
            await self._journal.flushed()
            left = self._behind()
            while left and loop.time() < until:
                if self._delivery.connected:
                    alone_since = loop.time()
                elif loop.time() - alone_since > _NO_BROKER_S:
                    break
                await asyncio.sleep(0.02)
                left = self._behind()
            if left:
                _log.warning("%d records are not acknowledged yet; they are sent after the next start", left)
            self._link.retire({"good_bye": True})
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(task), _GOOD_BYE_S)
            self._link.stop()
        await asyncio.gather(task, return_exceptions=True)

    def _committed(self, position: int) -> None:
        self._delivery.last = position
        if self._link is not None:
            with suppress(BlockingIOError):  # it has wakes enough to read
                self._link.nudge({"wake": True})

    def _processes(self) -> dict[str, int | None]:
        children = [child for station in self._stations for child in station.children]
        more = (self._link, self._updates.child if self._updates is not None else None)
        return {child.name: child.pid for child in (*children, *(one for one in more if one is not None))}

    def _tell_processes(self) -> None:
        """Without waiting for the disk, which may take longer than a part has: behind a power cut it says nothing."""
        told, file = {"line": os.getpid(), **self._processes()}, self._settings.state / "processes.json"
        with suppress(OSError):  # a full disk must not end the line
            beside = file.with_name(".processes.json.new")
            beside.write_text(json.dumps(told, indent=2), encoding="ascii")
            os.replace(beside, file)

    def _account(self) -> dict[str, Any]:
        return {
            "device": self._settings.device.id,
            "ledger": {
                "id": self._ledger_id,
                "position": self._delivery.last,
                "acknowledged": self._delivery.position,
            },
            "stations": {station.settings.name: station_figures(station) for station in self._stations},
        }


async def _show_life(supervisor: Supervisor) -> None:
    while supervisor.beat_s is not None:
        supervisor.alive()
        await asyncio.sleep(supervisor.beat_s)


def _ledger_trouble(what: str) -> None:
    if what:
        _log.error("%s", what)
    else:
        _log.warning("the ledger can be written again")


def run_agent(
    read: Callable[[], AgentSettings],
    clock: Clock | None = None,
    read_again: Callable[[], AgentSettings] | None = None,
    file: Path | None = None,
) -> dict[str, Any]:
    """Run an agent in this process until it ends; returns its account.

    Args:
        read: reads the settings at the start.
        clock: the box's.
        read_again: at each SIGHUP, and once every station judges; ``read`` if not given. What is on trial stands in
            these and not in those of the start.
        file: ``agent.yaml``, for updates.
    """
    return asyncio.run(_run(read(), clock or Clock(), read_again or read, file))


async def _run(
    settings: AgentSettings, clock: Clock, read: Callable[[], AgentSettings], file: Path | None
) -> dict[str, Any]:
    return await Line(settings, clock, read, file).run()
