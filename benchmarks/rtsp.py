"""A network camera that dies, falls silent and talks nonsense: how soon the source worker has its pictures again.

The camera is GStreamer's RTSP server in a process of its own, 640 x 480 at 25 frames a second; the source worker is the
agent's own. Time to recover runs from the moment in which the camera listens again (or is woken) to the next frame.
"""

from __future__ import annotations

import asyncio
import signal
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from form import Row, at_most, main, stated
from parts import Babbler, Camera

from edgemill_agent.frame_ring import create_ring
from edgemill_agent.line.wants import Wants
from edgemill_agent.processes.child import Child
from edgemill_agent.settings import SourceSettings
from edgemill_core.processes.own_memory import resident_bytes

KILLS, SILENCES, NONSENSES, WARM = 20, 5, 5, 5
TIMEOUT_MS, AWAY_S, LOOKS = 1000, 2.0, 25
BUSY_S = 0.15
"""That the line takes over a frame, so that many are dropped."""


class Line:
    """As much of a line as a source worker needs: takes each frame and asks for the next one."""

    def __init__(self, settings: SourceSettings, state: Path) -> None:
        self._settings, self._state = settings, state
        self._ring = create_ring(settings.slots, settings.max_frame_bytes)
        self.source = Child("source", "edgemill_agent.workers.source_worker", self._first, [self._ring])
        self._wants = Wants(False, self.source.send)
        self.count: Counter[str] = Counter()
        self.said: list[dict[str, Any]] = []
        self._frame = asyncio.Event()

    def _first(self) -> dict[str, Any]:
        return {
            "kind": self._settings.kind,
            "settings": self._settings.model_dump(mode="json"),
            "after": "",
            "ring": self._ring,
            "slot_bytes": self._settings.max_frame_bytes,
            "free": list(range(self._settings.slots)),
            "state": str(self._state),
            "keep": None,
            "wants": self._wants.open,
        }

    def heard(self, message: dict[str, Any]) -> None:
        self.count.update({name: message.get(name, 0) for name in ("captured", "dropped")})
        if "camera" in message:
            self.said.append(message)
            self.count[message["camera"]] += 1
        if "item" in message:
            self.count["handed out"] += 1
            self._wants.answered(message["want"])
            asyncio.get_running_loop().call_later(BUSY_S, self._done, message["slot"])
            self._frame.set()

    def _done(self, slot: int) -> None:
        self.source.send({"free": slot})
        self._wants.again()

    async def frames(self, count: int) -> None:
        for _ in range(count):
            self._frame.clear()
            await asyncio.wait_for(self._frame.wait(), 60)

    async def next_frame_s(self) -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        await self.frames(1)
        return loop.time() - start

    async def memory(self) -> float:
        """Median of some looks, MB of 10^6 bytes, while frames come."""
        found = []
        for _ in range(LOOKS):
            await self.frames(1)
            found.append(resident_bytes(self.source.pid) / 1e6)
        return statistics.median(found)


def measure() -> list[Row]:
    return asyncio.run(_measure())


async def _measure() -> list[Row]:
    camera = Camera((640, 480))
    settings = SourceSettings.model_validate({"rtsp": camera.url, "timeout_ms": TIMEOUT_MS})
    with tempfile.TemporaryDirectory() as name:
        line = Line(settings, Path(name))
        task = asyncio.create_task(line.source.keep(line.heard, lambda: None))
        try:
            return await _disturb(line, camera)
        finally:
            line.source.stop()
            await asyncio.gather(task, return_exceptions=True)
            camera.close()


async def _disturb(line: Line, camera: Camera) -> list[Row]:
    async def killed() -> None:
        camera.kill()
        await asyncio.sleep(AWAY_S)
        await asyncio.to_thread(camera.start, (640, 480))

    async def silent() -> None:
        camera.signal(signal.SIGSTOP)
        await asyncio.sleep(AWAY_S)
        camera.signal(signal.SIGCONT)

    async def nonsense() -> None:
        camera.kill()
        babbler = Babbler(camera.port)
        await asyncio.sleep(AWAY_S)
        babbler.close()
        await asyncio.to_thread(camera.start, (640, 480))

    await line.frames(10)
    pid = line.source.pid
    await _rounds(line, killed, WARM)
    before = await line.memory()
    rows = []
    for case, disturb, rounds in (
        ("killed and restarted", killed, KILLS),
        ("silent", silent, SILENCES),
        ("nonsense", nonsense, NONSENSES),
    ):
        took = await _rounds(line, disturb, rounds)
        rows += [
            stated(case, "time to recover, p50", "s", statistics.median(took), rounds),
            stated(case, "time to recover, max", "s", max(took), rounds),
        ]
    grown = await line.memory() - before
    all_rounds = WARM + KILLS + SILENCES + NONSENSES
    unaccounted = line.count["captured"] - line.count["dropped"] - line.count["handed out"]
    print(dict(line.count), sorted({one["why"] for one in line.said if "why" in one}), file=sys.stderr)
    return [
        *rows,
        at_most("all of it", "growth of the source worker", "MB", grown, 10, all_rounds),
        at_most("all of it", "source workers started again", "processes", line.source.restarts, 0, all_rounds),
        at_most("all of it", "outages not told, or told twice", "outages", abs(line.count["back"] - all_rounds), 0, 1),
        stated("all of it", "frames captured", "frames", line.count["captured"], 1),
        stated("all of it", "frames dropped", "frames", line.count["dropped"], 1),
        at_most("all of it", "frames neither dropped nor handed out", "frames", abs(unaccounted), 0, 1),
        at_most("all of it", "another process at the end", "processes", float(pid != line.source.pid), 0, 1),
    ]


async def _rounds(line: Line, disturb: Callable[[], Awaitable[None]], rounds: int) -> list[float]:
    took = []
    for _ in range(rounds):
        gone = line.count["gone"]
        await disturb()
        took.append(await line.next_frame_s())
        assert line.count["gone"] > gone, "it was not noticed"
        await line.frames(5)
    return took


if __name__ == "__main__":
    main(measure)
