"""The runs of a search for a mixed precision: each mix a graph, rendered, run on the target, counted and noted."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgemill_converters.bake import BakedModel
from edgemill_converters.comparing.layers import watched
from edgemill_converters.judging import truths_of, verdicts_of
from edgemill_converters.quantization.dialects import DIALECTS, WriteQdq
from edgemill_converters.quantization.mixing import is_inside, keeps_floor
from edgemill_converters.quantization.notes import Notes
from edgemill_converters.quantization.plan import Plan
from edgemill_converters.quantization.sensitivity import local_noise, relative_error
from edgemill_converters.sight import Compared, Sight
from edgemill_converters.targets import Target
from edgemill_core.budget import Budget, Outcome, Ruling, judge
from edgemill_core.durable import canonical_json, sha256_bytes
from edgemill_core.errors import DataError
from edgemill_core.samples import Sample, Truth
from edgemill_core.tasks import ObjectDetection, Task
from edgemill_core.tensors import Array
from edgemill_core.verdict import Verdict
from edgemill_runtimes.engines import EngineSettings, load
from edgemill_runtimes.engines.base import Engine
from edgemill_runtimes.engines.facts import NodeTime

NOISE_SAMPLES, TIMED_RUNS = 8, 20
FORMAT = 1
"""Of the notes, and of how what stands in them is found: notes of another one are not taken."""


_WORST = 1e9
"""Stands for a figure that is no number."""


@dataclass(frozen=True)
class SearchSet:
    """Labelled samples for choices between variants, and what the reference says of them.

    Attributes:
        prepared: engine inputs, one row a sample.
        reference: verdicts of the untouched model.
        sight: what the untouched model saw beyond its verdicts; metrics of a whole set ask for it.
    """

    samples: Sequence[Sample]
    prepared: Array
    reference: Sequence[Verdict]
    sight: Sight | None = None

    def part(self, count: int) -> list[int]:
        """Places of ``count`` samples, spread evenly over the set; all of them if there are no more."""
        return sorted({int(place) for place in np.linspace(0, len(self.samples) - 1, min(count, len(self.samples)))})


@dataclass(frozen=True)
class Judged:
    """A mix on the whole search set.

    Attributes:
        loss: on the part of it that losses are measured on.
    """

    outcome: Outcome
    inside: bool
    metrics: dict[str, float]
    why: str
    loss: float


@dataclass(frozen=True)
class Job:
    """What a search is about.

    Attributes:
        part: see ``Fallback``.
    """

    baked: BakedModel
    plan: Plan
    target: Target
    search: SearchSet
    task: Task
    budget: tuple[Budget, ...]
    part: int

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that a finding depends on."""
        judged = [[sample.id, dict(sample.context), str(sample.truth)] for sample in self.search.samples]
        parts = [
            FORMAT,
            sha256_bytes(self.baked.graph.SerializeToString(deterministic=True)),
            self.plan.digest,
            [self.target.runtime, self.target.device, str(DIALECTS[self.target.runtime])],
            sha256_bytes(np.ascontiguousarray(self.search.prepared).tobytes()),
            [judged, [verdict.as_dict() for verdict in self.search.reference]],
            [self.task.model_dump(mode="json"), [one.model_dump(mode="json") for one in self.budget], self.part],
        ]
        return sha256_bytes(canonical_json(parts))

    @cached_property
    def truths(self) -> list[Truth]:
        """Of the search set.

        Raises:
            DataError: a sample has none.
        """
        return truths_of(self.search.samples, "search")

    @cached_property
    def shown(self) -> tuple[Budget, ...]:
        """What a mix is judged by. To show a floor is the judge's, on a set that is large enough for it."""
        return tuple(one.model_copy(update={"floor": None}) for one in self.budget)

    @cached_property
    def unchanged(self) -> Ruling:
        """The judge's of the reference against itself: what the set can show of a mix that loses nothing."""
        reference, sight = self.search.reference, self.search.sight
        same = sight.itself() if sight is not None else Compared()
        return judge(self.shown, self.truths, reference, reference, boxes=same.boxes, evidence=same.evidence)

    @cached_property
    def places(self) -> list[int]:
        """Of the samples that losses are measured on."""
        return self.search.part(self.part)


class Trials:
    """Runs what it is asked for, unless it is noted already.

    Args:
        memory: folder for the notes; ``None`` to keep none.

    Attributes:
        graphs: graphs run so far, those of an earlier search included.
        inferences: of all of them.
    """

    def __init__(self, job: Job, memory: Path | None, progress: Callable[[str], None]) -> None:
        self.job = job
        self.progress = progress
        self._memory = memory
        name = f"fallback-{job.target.name}-{job.digest[:16]}"
        self._notes = Notes(memory / f"{name}.jsonl" if memory else None)
        self._kept = memory / f"{name}.npy" if memory else None
        self._exact: Array | None = None
        self.graphs = 0
        self.inferences = 0

    @property
    def resumed(self) -> int:
        """Graphs that an earlier search had run."""
        return self._notes.recalled

    def judged(self, layers: Sequence[str]) -> Judged:
        """The mix in which ``layers`` are INT8, on the whole search set."""
        self._count(len(self.job.search.samples))
        told = self._notes.find(f"mix {_digest(layers)}", lambda: self._judge(layers))
        return Judged(**{**told, "outcome": Outcome(told["outcome"])})

    def loss(self, layers: Sequence[str]) -> float:
        """Loss of ``layers``, on the part of the search set; the mix without any must have been judged before."""
        self._count(len(self.job.places))
        return float(self._notes.find(f"loss {_digest(layers)}", lambda: self._loss(layers)))

    def noise(self) -> dict[str, float]:
        """The cheap estimate of each layer's loss, from one graph with every tensor for an output."""
        places = self.job.places[:NOISE_SAMPLES]
        self._count(len(places))
        found: dict[str, float] = self._notes.find("noise", lambda: self._noise(places))
        return found

    def times(self, layers: Sequence[str]) -> list[NodeTime]:
        """Times of the nodes of the mix in which ``layers`` are INT8, alone on the target."""
        self._count(TIMED_RUNS)
        told = self._notes.find(f"times {_digest(layers)}", lambda: self._times(layers))
        return [NodeTime(**{**one, "names": tuple(one["names"])}) for one in told]

    def _count(self, inferences: int) -> None:
        self.graphs += 1
        self.inferences += inferences

    def _judge(self, layers: Sequence[str]) -> dict[str, Any]:
        job = self.job
        self.progress(f"{job.target.name}: {len(layers)} of {len(job.plan.layers)} layers in INT8 on the search set")
        with self._engine(layers) as engine:
            outputs = np.concatenate(list(self._outputs(engine, range(len(job.search.samples)))))
        exact = self._keep_exact(outputs[job.places]) if not layers else self.exact
        return judged_on(job, outputs, exact)

    def _loss(self, layers: Sequence[str]) -> float:
        self.progress(f"{self.job.target.name}: what {len(layers)} layers lose in INT8")
        with self._engine(layers) as engine:
            outputs = np.concatenate(list(self._outputs(engine, self.job.places)))
        return relative_error(told(outputs, self.job.task), told(self.exact, self.job.task))

    def _noise(self, places: Sequence[int]) -> dict[str, float]:
        job = self.job
        self.progress(f"{job.target.name}: where noise of INT8 arises")
        given = {value.name for value in job.baked.graph.graph.input}
        with tempfile.TemporaryDirectory() as folder:
            names = [name for name in job.plan.ranges if name not in given]
            graph = watched(job.baked.graph, names, Path(folder, "watched.onnx"))
            with load("onnxruntime", graph) as engine:
                feeds = ({engine.inputs[0].name: job.search.prepared[place : place + 1]} for place in places)
                return local_noise(job.baked.graph.graph, job.plan, (engine.run(feed) for feed in feeds))

    def _times(self, layers: Sequence[str]) -> list[dict[str, Any]]:
        self.progress(f"{self.job.target.name}: timing the kernels with {len(layers)} layers in INT8")
        with self._engine(layers) as engine:
            feeds = {engine.inputs[0].name: self.job.search.prepared[:1]}
            return [asdict(one) for one in engine.node_times(feeds, TIMED_RUNS)]

    def _outputs(self, engine: Engine, places: Iterable[int]) -> Iterator[Array]:
        for place in places:
            yield engine.run({engine.inputs[0].name: self.job.search.prepared[place : place + 1]})[self.job.task.output]

    def _keep_exact(self, outputs: Array) -> Array:
        self._exact = outputs
        if self._kept is not None:
            # Before the note of the run that made it, so that the note never stands alone.
            part = self._kept.with_suffix(".part.npy")
            np.save(part, outputs, allow_pickle=False)
            part.replace(self._kept)
        return outputs

    @property
    def exact(self) -> Array:
        """Outputs of the mix without INT8, which must have been judged, on the part that losses are measured on."""
        if self._exact is None:
            assert self._kept is not None, "the mix without INT8 is judged first"
            self._exact = np.load(self._kept, allow_pickle=False)
        return self._exact

    @contextmanager
    def _engine(self, layers: Sequence[str]) -> Iterator[Engine]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "mix.onnx")
            onnx.save(mixed_graph(self.job.baked, self.job.plan, self.job.target, layers), path)
            with load(self.job.target.runtime, path, EngineSettings(self.job.target.device)) as engine:
                yield engine


def judged_on(job: Job, outputs: Array, exact: Array) -> dict[str, Any]:
    """The fields of ``Judged``, JSON-ready.

    Args:
        outputs: of the whole search set.
        exact: those of the graph in float, at ``job.places``.

    Raises:
        DataError: the set says nothing of a metric.
    """
    sight = job.search.sight
    seen = sight.beside(outputs) if sight is not None else Compared()
    verdicts = verdicts_of(outputs, job.task, job.search.samples)
    ruling = judge(job.shown, job.truths, job.search.reference, verdicts, boxes=seen.boxes, evidence=seen.evidence)
    inside = is_inside(ruling, job.unchanged) and all(
        keeps_floor(one, judged) for one, judged in zip(job.budget, ruling.judgements, strict=True)
    )
    for judged in ruling.judgements:
        if judged.counts.n == 0:
            raise _says_nothing(judged.budget.metric)
    return {
        "outcome": ruling.outcome.value,
        "inside": inside,
        "metrics": {judged.budget.metric: bounded(judged.variant) for judged in ruling.judgements},
        "why": ruling.why,
        "loss": relative_error(told(outputs[job.places], job.task), told(exact, job.task)),
    }


def told(outputs: Array, task: Task) -> Array:
    """What of the outputs decides. A detector's boxes are of thousands of places where nothing is."""
    return outputs[..., 4:] if isinstance(task, ObjectDetection) else outputs


def bounded(figure: float) -> float:
    """What notes can hold, of a variant that overflows too."""
    return min(figure, _WORST) if figure == figure else _WORST


def _says_nothing(metric: str) -> DataError:
    return DataError(
        f"the search set says nothing of {metric}",
        expected="samples that the metric is about: bad parts for escapes, good ones for overkill, labels for the rest",
        got="none",
        fix="add such samples to data: search: in the recipe",
    )


def mixed_graph(baked: BakedModel, plan: Plan, target: Target, layers: Sequence[str]) -> onnx.ModelProto:
    """The graph with ``layers`` in INT8, in the target's dialect, and all others in float."""
    if not layers:
        return baked.graph
    return WriteQdq(replace(plan, layers=tuple(layers)), DIALECTS[target.runtime])(baked.graph)


def _digest(layers: Sequence[str]) -> str:
    return sha256_bytes(canonical_json(sorted(layers)))[:16]
