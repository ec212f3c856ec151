"""Run the same samples through both sides, and keep where they part."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from edgemill_converters.comparing.differences import Difference, Tally, pairs
from edgemill_converters.comparing.layers import LayerDifference, attributed, read_graph, shared_tensors, watched
from edgemill_converters.comparing.samples import Compared, choose_samples
from edgemill_converters.comparing.sides import Side
from edgemill_converters.report.flips import Flip, flips
from edgemill_core.picture_input import Region
from edgemill_core.samples import Sample
from edgemill_core.tasks import Task
from edgemill_core.tensors import Array
from edgemill_core.verdict import Decision, Verdict
from edgemill_runtimes.benching.feeds import Shapes
from edgemill_runtimes.engines import Engine, EngineSettings, load

Progress = Callable[[str], None]
_KEPT = 8
"""Of so many samples the outputs are kept, to see what watching the layers changes."""


@dataclass(frozen=True)
class Comparison:
    """Where two sides part.

    Attributes:
        a: the one that is taken for right.
        b: the other.
        over: the samples, in words.
        samples: they themselves.
        region: of their pictures that is looked at.
        outputs: differences of the outputs that both have.
        only: outputs that only one of them has.
        flips: samples on which the verdicts differ; ``None`` where there is no task, or its verdicts are figures.
        layers: in the order of A's graph; ``None`` if they were not asked for.
        watching: how far watching the layers changed each side's own outputs, relative: what is watched is not
            fused, and another kernel may round otherwise.
    """

    a: Side
    b: Side
    over: str
    samples: tuple[Sample, ...]
    region: Region | None
    outputs: tuple[Difference, ...]
    only: tuple[str, ...]
    flips: tuple[Flip, ...] | None
    layers: tuple[LayerDifference, ...] | None
    watching: tuple[float, float] | None

    def as_dict(self) -> dict[str, object]:
        """JSON-ready form."""
        return {
            "a": self.a.name,
            "b": self.b.name,
            "over": self.over,
            "samples": len(self.samples),
            "outputs": [one.as_dict() for one in self.outputs],
            "only": list(self.only),
            "flips": None if self.flips is None else [_flip(one) for one in self.flips],
            "layers": None if self.layers is None else [one.as_dict() for one in self.layers],
            "watching": self.watching,
        }


def _flip(flip: Flip) -> dict[str, object]:
    return {"sample": flip.sample.id, "kind": flip.kind.value, "a": flip.before.as_dict(), "b": flip.after.as_dict()}


def compare(
    a: Side,
    b: Side,
    folder: Path,
    data: Path | None = None,
    inputs: Path | None = None,
    shapes: Shapes = {},  # noqa: B006 (never written to)
    layers: bool = False,
    progress: Progress = lambda _: None,
) -> Comparison:
    """Compare ``b`` with ``a``, each in a process of its own.

    Args:
        a: the one that is taken for right.
        b: the other.
        folder: for pictures of golden samples, which must last as long as the result is used.
        data: the user's set; the golden samples if not given.
        inputs: samples of bare graphs, ``.npz``; numbers are drawn if not given.
        shapes: for drawing, of inputs that a graph leaves open.
        layers: whether to compare layer by layer too.
        progress: told what is going on.

    Raises:
        InputError: the two do not take or give the same.
        DataError: the set cannot be read.
        EngineCrashed: a runtime died.
        EdgemillError: one of them cannot be loaded.
    """
    task = next((side.bundle.task for side in (a, b) if side.bundle), None)
    with ExitStack() as stack:
        engines = tuple(stack.enter_context(_load(side, side.graph, progress)) for side in (a, b))
        first, second = engines
        compared = choose_samples((a, b), (first, second), data, inputs, shapes, folder)
        names = [[spec.name for spec in engine.outputs] for engine in (first, second)]
        pair = pairs(*names)
        tallies = {name: Tally(name) for name in pair}
        own: list[tuple[Mapping[str, Array], Mapping[str, Array]]] = []
        verdicts: list[tuple[Verdict, Verdict]] = []
        for sample, to_a, to_b in _told(compared, progress, "comparing"):
            found = first.run(to_a), second.run(to_b)
            _add(tallies, found, pair)
            if task is not None:
                verdicts.append((_verdict(a, task, found[0], sample), _verdict(b, task, found[1], sample)))
            if layers and len(own) < _KEPT:
                own.append(found)
    told, watching = _layers(a, b, compared, own, progress) if layers else (None, None)
    return Comparison(
        a=a,
        b=b,
        over=compared.what,
        samples=tuple(compared.samples),
        region=compared.region,
        outputs=tuple(tally.difference() for tally in tallies.values()),
        only=tuple(sorted({*names[0], *names[1]} - {*pair, *pair.values()})),
        flips=_flips(task, compared, verdicts),
        layers=told,
        watching=watching,
    )


def _load(side: Side, graph: Path, progress: Progress, isolated: bool = True) -> Engine:
    progress(f"loading {side.name}")
    return load(side.runtime, graph, EngineSettings(side.device, precision_hint=side.precision_hint), isolated=isolated)


def _told(compared: Compared, progress: Progress, doing: str) -> Compared:
    """The samples, with a word on every tenth of them."""
    every = max(1, len(compared.samples) // 10)

    def feeds(index: int) -> tuple[dict[str, Array], dict[str, Array]]:
        if index % every == 0:
            progress(f"{doing}, sample {index + 1} of {len(compared.samples)}")
        return compared.feeds(index)

    return replace(compared, feeds=feeds)


def _add(
    tallies: Mapping[str, Tally], found: tuple[Mapping[str, Array], Mapping[str, Array]], pair: Mapping[str, str]
) -> None:
    for name, tally in tallies.items():
        tally.add(found[0][name], found[1][pair[name]])


def _verdict(side: Side, task: Task, outputs: Mapping[str, Array], sample: Sample) -> Verdict:
    own = side.bundle.task if side.bundle else task
    if own.output not in outputs and len(outputs) == 1:
        outputs = {own.output: next(iter(outputs.values()))}
    return own.verdict(outputs, sample.context)


def _flips(task: Task | None, compared: Compared, verdicts: list[tuple[Verdict, Verdict]]) -> tuple[Flip, ...] | None:
    if task is None or any(Decision.SCORE in (one.decision, other.decision) for one, other in verdicts):
        return None
    before, after = [one for one, _ in verdicts], [other for _, other in verdicts]
    return tuple(flips(compared.samples, before, after, task.metrics))


def _layers(
    a: Side,
    b: Side,
    compared: Compared,
    own: list[tuple[Mapping[str, Array], Mapping[str, Array]]],
    progress: Progress,
) -> tuple[tuple[LayerDifference, ...], tuple[float, float]]:
    graphs = read_graph(a.graph), read_graph(b.graph)
    tensors = shared_tensors(*graphs)
    tallies = {name: Tally(name) for name in tensors}
    changed = [{name: Tally(name) for name in own[0][side]} for side in range(2)]
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        engines = [
            # Not in a process of its own: all activations come out, which may be more than its memory holds.
            stack.enter_context(_load(side, _watched(graph, tensors, Path(name), index), progress, isolated=False))
            for index, (side, graph) in enumerate(zip((a, b), graphs, strict=True))
        ]
        for number, (_, to_a, to_b) in enumerate(_told(compared, progress, "comparing layers")):
            found = engines[0].run(to_a), engines[1].run(to_b)
            _add(tallies, found, {tensor: tensor for tensor in tensors})
            for side in range(2 if number < len(own) else 0):
                _add(changed[side], (own[number][side], found[side]), {name: name for name in changed[side]})
    differences = {name: tally.difference() for name, tally in tallies.items()}
    first, second = (max(tally.difference().relative for tally in one.values()) for one in changed)
    return tuple(attributed(graphs[0], differences)), (first, second)


def _watched(graph: onnx.ModelProto, tensors: list[str], folder: Path, index: int) -> Path:
    return watched(graph, tensors, folder / f"{index}.onnx")
