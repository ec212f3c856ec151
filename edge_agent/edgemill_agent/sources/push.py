"""Pictures that programs on this box send over HTTP, and whose verdict they wait for."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from edgemill_agent.sources.base import Arrival, Source
from edgemill_agent.sources.push_server import Answer, PushServer
from edgemill_core.errors import InputError
from edgemill_runtimes.frames import Frame

_LOOK_S = 0.2


@dataclass
class _Pushed:
    """A part whose sender waits."""

    arrival: Arrival
    taken: bool = False
    withdrawn: bool = False
    told: Mapping[str, Any] | None = None
    done: threading.Event = field(default_factory=threading.Event)


class PushSource(Source):
    """Serves ``POST /frames`` on 127.0.0.1. A sender gets its answer when the verdict is on the disk.

    A sender that got no 200 knows from the status whether its part may have been judged: not with 4xx and 503 (it may
    send it again), perhaps with 504 or a broken connection (the ledger knows).
    """

    def __init__(
        self, settings: Mapping[str, Any], after: str, tell: Callable[[Mapping[str, Any]], None] = lambda _: None
    ) -> None:
        super().__init__(settings, after, tell)
        self._wait_s = settings["push"]["wait_ms"] / 1e3
        self._came: queue.SimpleQueue[_Pushed] = queue.SimpleQueue()
        self._open: dict[int, _Pushed] = {}
        self._lock = threading.Lock()
        # Rises from worker to worker: an answer to a part of an earlier one must reach nobody.
        self._last = time.monotonic_ns()
        port = settings["push"]["port"]
        try:
            server = PushServer(port, settings["max_frame_bytes"], self._push)
        except OSError as error:
            raise InputError(
                f"pictures cannot be taken on port {port}",
                expected="a free port on 127.0.0.1",
                got=str(error),
                fix="mend `push: {port}` under the station's `source:`, or end what listens there",
            ) from error
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def parts(self) -> Iterator[Arrival | None]:
        """Pictures in the order in which they were received whole."""
        while True:
            try:
                yield self._came.get(timeout=_LOOK_S).arrival
            except queue.Empty:
                yield None

    def hand_over(self, arrival: Arrival) -> bool:
        """Not if its sender was told to come again."""
        with self._lock:
            pushed = self._open[arrival.ask]
            pushed.taken = not pushed.withdrawn
            if pushed.withdrawn:
                del self._open[arrival.ask]
            return pushed.taken

    def answered(self, told: Mapping[str, Any]) -> None:
        """Wake the sender."""
        with self._lock:
            pushed = self._open.pop(told["answer"], None)
        if pushed is not None:
            pushed.told = told
            pushed.done.set()

    def _push(self, frame: Frame, name: str, context: Mapping[str, str]) -> Answer:
        """In the sender's own thread: wait for the line."""
        with self._lock:
            self._last += 1
            item = name or datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            pushed = _Pushed(Arrival(item, frame, context, ask=self._last))
            self._open[self._last] = pushed
            self._came.put(pushed)  # in the lock, so that parts come in the order of their numbers
        pushed.done.wait(self._wait_s)
        with self._lock:
            pushed.withdrawn = not pushed.taken
            if pushed.withdrawn:  # whoever is told to come again must not fill the memory meanwhile
                pushed.arrival = replace(pushed.arrival, frame=None)
        return self._answer(pushed)

    def _answer(self, pushed: _Pushed) -> Answer:
        limit, told = f"{self._wait_s:g} s", pushed.told
        if told is None and not pushed.taken:
            what = f"the line took no more parts for {limit}: its engine is slow or being started again"
            return Answer(503, {"error": what, "to_do": "send it again; it was not judged"})
        if told is None or "fault" in told:
            what = f"no verdict was recorded within {limit}" if told is None else str(told["fault"])
            to_do = "do not send it again: look for the item in the ledger"
            return Answer(504, {"error": what, "item": pushed.arrival.item, "to_do": to_do})
        return Answer(200, {name: value for name, value in told.items() if name != "answer"})
