"""How long a bundle takes over a part on this box, on the way that parts go, while others may have the cores.

A proof gives way to whatever judges. So what counts of a run is the time that it took less the time for which it waited
for a core, which the kernel keeps for every thread (``schedstat``, proc(5)): what it would take if it were alone. Where
the kernel does not keep it nothing is taken off.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np

from edgemill_core.bundle import Bundle
from edgemill_runtimes.frames import read_picture
from edgemill_runtimes.isolation import IsolatedEngine
from edgemill_runtimes.pipeline import ChainPipeline, ModelPipeline, Pipeline
from edgemill_runtimes.proof import load_array

RUNS, LEAST, MOST_S = 200, 20, 60.0
"""So many runs; of an engine that would take longer than ``MOST_S`` over them fewer, ``LEAST`` at least."""
_PROC = Path("/proc")


@dataclass(frozen=True)
class Timed:
    """How long parts took.

    Attributes:
        p99_ms: from the picture, or the numbers, to the verdict.
        runs: it is of.
    """

    p99_ms: float
    runs: int


def time_alone(
    pipeline: Pipeline,
    bundle: Bundle,
    now: Callable[[], float] = time.perf_counter,
    waited: Callable[[Sequence[int]], Mapping[int, float]] | None = None,
) -> Timed:
    """Time whole parts: crop, resize, engine and verdict of a golden frame, of a chain all its stages.

    Where the bundle has no frames, because its model takes numbers or tensors, engine and verdict of a golden input.

    Args:
        pipeline: open.
        now: seconds of a clock that does not jump.
        waited: seconds for which each thread of these processes waited for a core so far; ``waits`` if not given.
    """
    ask, engines = waited or waits, _engines(pipeline)
    pipeline.warm_up()
    parts = cycle(_parts(pipeline, bundle))
    next(parts)()
    took: list[float] = []
    until = now() + MOST_S
    while len(took) < RUNS and (len(took) < LEAST or now() < until):
        part = next(parts)
        before, start = ask(engines), now()
        part()
        seconds = now() - start
        took.append(max(seconds - _lost(before, ask(engines)), 0.0))
    return Timed(float(np.percentile(took, 99)) * 1e3, len(took))


def waits(engines: Sequence[int], proc: Path = _PROC) -> dict[int, float]:
    """Seconds for which each thread of these processes waited for a core, and of this process as ``-1``."""
    found = {-1: _waited(proc / "thread-self" / "schedstat")}
    for pid in engines:
        for task in (proc / str(pid) / "task").glob("*"):
            found[int(task.name)] = _waited(task / "schedstat")
    return found


def _waited(schedstat: Path) -> float:
    try:
        return int(schedstat.read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def _lost(before: Mapping[int, float], after: Mapping[int, float]) -> float:
    """What a run lost by waiting: threads of an engine wait at the same time, and this one before or after them."""
    more = {task: seconds - before.get(task, 0.0) for task, seconds in after.items()}
    return more.pop(-1, 0.0) + max(more.values(), default=0.0)


def _engines(pipeline: Pipeline) -> tuple[int, ...]:
    """Processes of the engines that are isolated."""
    models = [one.model for one in pipeline.stages] if isinstance(pipeline, ChainPipeline) else [pipeline]
    engines = [one.engine for one in models if isinstance(one, ModelPipeline)]
    return tuple(one.pid for one in engines if isinstance(one, IsolatedEngine))


def _parts(pipeline: Pipeline, bundle: Bundle) -> Iterator[Callable[[], object]]:
    """What judges one part each; pictures are decoded beforehand, as the source worker does it on a line."""
    golden = bundle.chain.golden if bundle.chain is not None else bundle.model.golden
    frames = [read_picture(bundle.path(name)) for name in golden.frames]
    if frames or not isinstance(pipeline, ModelPipeline):
        for frame, context in zip(frames, cycle(golden.contexts), strict=False):
            yield lambda frame=frame, context=context: pipeline(frame, context)  # type: ignore[misc]
        return
    inputs = load_array(bundle, bundle.model.golden.inputs)
    for row, context in zip(inputs, golden.contexts, strict=True):
        yield lambda row=row, context=context: pipeline.decide(row[None], context)  # type: ignore[misc]
