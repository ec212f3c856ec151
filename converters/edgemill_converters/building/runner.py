"""Do the steps of a build: what is cached is read back, the rest is done, side by side where it may be."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from edgemill_converters.building.child import run_in_child
from edgemill_converters.building.disk import cannot_write, is_full, writing
from edgemill_converters.building.progress import Ahead, History, in_words, remaining, to_start
from edgemill_converters.building.step import Step, Tell
from edgemill_converters.building.store import Entry, Store
from edgemill_core.errors import EdgemillError

_SILENCE_S = 5.0
_TICK_S = 0.25
_MOST_AT_ONCE = 4


@dataclass(frozen=True)
class Planned:
    """A step that is known before what it is given is.

    Attributes:
        name: unique in the build, and the same in the next one.
        needs: steps whose results it is made from.
        make: from these results to the step itself.
        size: how much there is to do, e.g. samples; its time is taken to grow with it.
        alone: nothing else may run beside it, in any build that uses the same cache.
        threaded: it uses every processor by itself; no other such step beside it, they would only take each other's.
        settles: once it is done, the plans of the whole build anew, where those before were a guess.
    """

    name: str
    needs: tuple[str, ...]
    make: Callable[[Mapping[str, Entry]], Step]
    size: float = 1.0
    alone: bool = False
    threaded: bool = False
    settles: Callable[[Entry], Sequence[Planned]] | None = None


class Runner:
    """Does planned steps.

    Args:
        recipe: name of what is built, for the log's folder and for the times of earlier builds.
        progress: told what is going on.
        unchanged: raises if what the build started from is not what it was; asked, by any thread, before a result is
            kept.
    """

    def __init__(
        self,
        store: Store,
        recipe: str,
        progress: Tell,
        unchanged: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._recipe = recipe
        self._progress = progress
        self._workers = min(len(os.sched_getaffinity(0)), _MOST_AT_ONCE)
        self._unchanged = unchanged
        self._history = History(store.journal())
        self._stop = threading.Event()
        self._heard: deque[str] = deque()
        self._begun: set[str] = set()
        self._told: tuple[object, float] = (None, time.monotonic())

    def run(self, plans: Sequence[Planned]) -> dict[str, Entry]:
        """Do them all.

        Returns:
            The results by name.

        Raises:
            EdgemillError: of a step; the others are ended, and what is done is kept.
        """
        with ThreadPoolExecutor(self._workers, thread_name_prefix="step") as watching:
            try:
                return self._run(plans, watching)
            except BaseException:
                self._stop.set()  # leaving waits for those that are going
                raise

    def _run(self, plans: Sequence[Planned], watching: Executor) -> dict[str, Entry]:
        done: dict[str, Entry] = {}
        going: dict[Future[Entry], tuple[Planned, float]] = {}
        while len(done) < len(plans):
            by_name = {plan.name: plan for plan in plans}
            ahead = self._ahead(plans, done, going)
            running = [plan.name for plan, _ in going.values()]
            waiting = [step for step in ahead if not step.going]
            for step in to_start(waiting, running, self._workers, {one.name: one for one in ahead}):
                given = {name: done[name] for name in by_name[step.name].needs}
                future = watching.submit(self._perform, by_name[step.name], given)
                going[future] = (by_name[step.name], time.monotonic())
            self._tell(plans, done, going)
            finished, _ = wait(going, timeout=_TICK_S, return_when=FIRST_COMPLETED)
            for future in sorted(finished, key=lambda f: list(by_name).index(going[f][0].name)):
                plan, _ = going.pop(future)
                done[plan.name] = future.result()
                plans = plan.settles(done[plan.name]) if plan.settles is not None else plans
        return {plan.name: done[plan.name] for plan in plans}

    def _ahead(
        self,
        plans: Sequence[Planned],
        done: Mapping[str, Entry],
        going: Mapping[Future[Entry], tuple[Planned, float]],
    ) -> list[Ahead]:
        since = {plan.name: start for plan, start in going.values()}
        missed = to_be_made(plans, self._begun)
        found = []
        for plan in plans:
            if plan.name not in done:
                seconds = self._history.expected(self._recipe, plan.name, plan.size)
                if seconds is not None and plan.name not in missed:
                    seconds = 0.0
                elif seconds is not None and plan.name in since:
                    seconds = max(seconds - (time.monotonic() - since[plan.name]), 0.0)
                going_on = plan.name in since
                found.append(Ahead(plan.name, plan.needs, seconds, plan.alone, going_on, plan.threaded))
        return found

    def _tell(
        self,
        plans: Sequence[Planned],
        done: Mapping[str, Entry],
        going: Mapping[Future[Entry], tuple[Planned, float]],
    ) -> None:
        # Until a step has really begun there is nothing to say: it may all be there already.
        names = ", ".join(plan.name for plan, _ in going.values() if plan.name in self._begun)
        heard = [self._heard.popleft() for _ in range(len(self._heard))]
        silent = time.monotonic() - self._told[1] > _SILENCE_S
        news = (len(done), names)
        if not heard and not silent and (not names or news == self._told[0]):
            return
        self._told = (news, time.monotonic())
        left = in_words(remaining(self._ahead(plans, done, going), self._workers))
        start = f"[{len(done) + 1}/{len(plans)}] {names or 'reading back'}"
        for says in heard or [""]:
            self._progress(" · ".join(filter(None, [start, says, left])))

    def _perform(self, plan: Planned, given: Mapping[str, Entry]) -> Entry:
        if self._stop.is_set():
            raise CancelledError
        step = plan.make(given)
        key = step.key
        found = self._store.find(key)
        if found is None:
            with self._store.lock(key, self._stop.is_set, self._heard.append):
                found = self._store.find(key)  # another build may have made it while we waited
                if found is None:
                    return self._do(plan, step, key)
        self._store.note("read", key, step=plan.name, recipe=self._recipe)
        return found

    def _do(self, plan: Planned, step: Step, key: str) -> Entry:
        with self._store.lock("machine", self._stop.is_set, self._heard.append, shared=not plan.alone):
            return self._make(plan, step, key)

    def _make(self, plan: Planned, step: Step, key: str) -> Entry:
        self._begun.add(plan.name)
        self._store.note("begun", key, step=plan.name, recipe=self._recipe)
        start = time.monotonic()
        with writing(self._store.folder):
            into = Path(tempfile.mkdtemp(dir=self._store.work))
        extra = {"notes": self._store.notes(key)} if step.notes else {}
        log = self._store.folder / "logs" / self._recipe / f"{plan.name.replace(' ', '-')}.txt"
        try:
            self._in_child(plan.name, step, {**step.given, **extra}, into, log)
            self._unchanged()
            entry = self._store.put(key, into, plan.name, time.monotonic() - start)
        except BaseException:
            shutil.rmtree(into, ignore_errors=True)
            raise
        seconds = entry.seconds
        self._store.note("made", key, step=plan.name, recipe=self._recipe, seconds=seconds, size=plan.size)
        self._history.add(self._recipe, plan.name, seconds, plan.size)
        return entry

    def _in_child(self, name: str, step: Step, given: Mapping[str, object], into: Path, log: Path) -> None:
        try:
            run_in_child(name, step.work, given, into, log, self._heard.append, self._stop.is_set)
        except OSError as error:
            raise cannot_write(self._store.folder, error) from error
        except EdgemillError as error:
            if is_full(self._store.folder):
                raise cannot_write(self._store.folder, OSError(str(error.got or error.what))) from error
            raise


def to_be_made(plans: Sequence[Planned], begun: Iterable[str]) -> set[str]:
    """Which steps will not be read back, as far as one knows: those that ``begun``, and what needs them.

    Args:
        plans: each behind those that it needs.
    """
    made = set(begun)
    for plan in plans:
        if made & set(plan.needs):
            made.add(plan.name)
    return made
