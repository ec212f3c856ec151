"""Who transforms: processes of this machine, or of a cluster; both are a ``concurrent.futures.Executor``."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgemill_core.errors import EdgemillError, StepCrashed
from edgemill_core.processes.child_main import die_with_parent

_TICK_S = 2.0
Call = tuple[Any, ...]
"""A function and its arguments."""


@dataclass(frozen=True)
class Crew:
    """An executor, and how contents get there.

    Attributes:
        share: from a file to what stands for its content as an argument.
        check: raises if those who work are gone; asked now and then while results are waited for.
        broken: an exception of the executor's own as ours, or ``None`` if it is not one of these.
    """

    executor: Executor
    share: Callable[[Path], Any]
    check: Callable[[], None]
    broken: Callable[[BaseException], EdgemillError | None]

    def run(self, calls: Sequence[Call]) -> list[Any]:
        """Call them all, side by side; results in the order of ``calls``.

        Raises:
            EdgemillError: of a call.
            StepCrashed, ClusterError: those who work are gone.
        """
        waiting: set[Future[Any]] = set()
        futures = [self.executor.submit(*call) for call in calls]
        waiting.update(futures)
        try:
            while waiting:
                _, waiting = wait(waiting, timeout=_TICK_S)
                self.check()
            return [future.result() for future in futures]
        except Exception as error:
            ours = self.broken(error)
            if ours is None:
                raise
            raise ours from error
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def local_crew() -> Iterator[Crew]:
    """A process for every core that this one may use.

    They are forked at once: call it before anything starts a thread. They end with this process, however it ends.
    """
    context = multiprocessing.get_context("fork")
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(cores, context, initializer=_begin, initargs=(os.getpid(),)) as pool:
        pool.submit(os.getpid).result()
        yield Crew(pool, lambda path: path, lambda: None, _pool_broken)


def _begin(parent: int) -> None:
    if not die_with_parent(parent):
        os._exit(0)


def _pool_broken(error: BaseException) -> EdgemillError | None:
    if not isinstance(error, BrokenProcessPool):
        return None
    return StepCrashed(
        "a process that transforms a trial's graph died",
        expected="a graph",
        got=str(error),
        fix="if nobody killed it, memory ran out: close other programs; run again, what was done before is kept",
    )
