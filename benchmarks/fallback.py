"""Cost-aware fallback against ``nncf.quantize_with_accuracy_control``: the same budget, the same data, one run.

Two models: PP-OCRv6's reader on printed labels, of which half are smeared, turned or dim, so that plain INT8 misses the
budget with both tools, and efficientnet-lite0 on crops of scikit-image's photographs. Truth is what the float model
says, so that the metric is agreement with it. Both tools calibrate in their default way on the same pictures, and both
look for the layers to leave in float on the same 300 pictures on OpenVINO. NNCF knows no confidence, so that ours gets
a budget at 50 %, and NNCF the largest drop on these pictures that its judge passes. A third set, which neither has
seen, says what came of it.

NNCF's evaluations are counted where it asks for them: every call of ``validation_fn`` and every inference in it. Ours
are counted by the search itself, those of the reference, of the estimates and of timing included. Plain INT8 is honest:
it is what either tool gives without a word.

Needs the extra ``nncf``. Takes some ten minutes on 2 cores. ``--only NAME`` for one of the models. NNCF may try layer
after layer for an hour: after ``--most`` graphs it is stopped, and the rows say so.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from form import Row, at_least, main, stated
from skimage import data
from torch_models import efficientnet_lite0

from edgemill.demo.labels import generate
from edgemill.demo.lot_code import write_recipe
from edgemill_converters.bake import BakedModel, bake
from edgemill_converters.importers import ImportedModel, import_model
from edgemill_converters.judging import prepare_set, verdicts_of
from edgemill_converters.measuring import Subject
from edgemill_converters.measuring import measure as time_in_turns
from edgemill_converters.quantization.calibration import calibrate
from edgemill_converters.quantization.fallback import find_fallback
from edgemill_converters.quantization.fallback_found import FallbackFound
from edgemill_converters.quantization.settings import Fallback
from edgemill_converters.quantization.trials import SearchSet, mixed_graph
from edgemill_converters.recipe import Target, read_recipe
from edgemill_core.budget import Budget, Outcome
from edgemill_core.budget import judge as judge_of
from edgemill_core.picture_input import PictureInput
from edgemill_core.samples import Sample, Truth
from edgemill_core.tasks import ImageClassification, Task
from edgemill_core.tensors import Array
from edgemill_core.verdict import Decision, Verdict
from edgemill_runtimes.engines import load
from edgemill_runtimes.machine import this_machine

SIDE, SEED = 224, 3
CALIBRATION, SEARCH, JUDGE = 100, 300, 300
MAX_DROP = 0.05
CLASSES = tuple(f"{index:04d}" for index in range(1000))
INPUT = PictureInput(size=(SIDE, SIDE), normalise={"mean": (127,), "std": (128,)})
TARGET = Target(runtime="openvino")
PHOTOS = ("astronaut", "coffee", "chelsea", "rocket", "cat")


@dataclass(frozen=True)
class Case:
    """A model with pictures.

    Attributes:
        reading: what of a verdict's reading the metric is about.
        truth: a label from it.
        calibration, seen, unseen: ``uint8[pictures, height, width, 3]``.
    """

    name: str
    baked: BakedModel
    task: Task
    metric: str
    reading: str
    truth: Callable[[str], Truth]
    calibration: Array
    seen: Array
    unseen: Array

    @property
    def budget(self) -> Budget:
        return Budget(metric=self.metric, max_drop=MAX_DROP, confidence=0.5)

    def said(self, output: Array) -> str:
        """What is made of one output."""
        return str(
            self.task.verdict({self.task.output: output.reshape(1, *output.shape[-2:])}, {}).reading[self.reading]
        )


def reader() -> Case:
    with tempfile.TemporaryDirectory() as folder:
        recipe = read_recipe(write_recipe(Path(folder)))
        task = recipe.make_task()
        baked = bake(import_model(recipe), recipe.input, task)
        count = CALIBRATION + SEARCH + JUDGE
        pictures = prepare_set(
            generate(Path(folder) / "labels", count, 21, bad_share=0.5, prefix="label"), recipe.input
        )
    sets = np.split(pictures, [CALIBRATION, CALIBRATION + SEARCH])
    return Case("PP-OCRv6 rec", baked, task, "exact_rate", "text", lambda said: Truth(True, text=said), *sets)


def classifier() -> Case:
    rng, source = np.random.default_rng(SEED), efficientnet_lite0()
    task = ImageClassification(classes=CLASSES, fit=CLASSES[:1])
    baked = bake(ImportedModel(source, "", onnx.load(source), None), INPUT, task)
    sets = [crops(count, rng) for count in (CALIBRATION, SEARCH, JUDGE)]
    return Case("lite0", baked, task, "class_rate", "class", lambda said: Truth(True, class_name=said), *sets)


CASES = {"rec": reader, "lite0": classifier}


def most_wrong(case: Case) -> int:
    """How many of the searched pictures may be decided otherwise for the judge to pass."""
    truths = [case.truth("a")] * SEARCH
    right, wrong = (Verdict(Decision.PASS, (), 1.0, {case.reading: name}) for name in "ab")

    def passes(count: int) -> bool:
        seen = [wrong] * count + [right] * (SEARCH - count)
        return judge_of([case.budget], truths, [right] * SEARCH, seen).outcome is Outcome.PASS

    return max(count for count in range(SEARCH // 10) if passes(count))


def crops(count: int, rng: np.random.Generator) -> Array:
    """Squares of half to all of a photograph's height, mirrored now and then, ``uint8[count, 224, 224, 3]``, BGR."""
    photos = [getattr(data, name)()[..., ::-1] for name in PHOTOS]
    found = []
    for index in range(count):
        photo = photos[index % len(photos)]
        side = int(min(photo.shape[:2]) * rng.uniform(0.5, 1))
        y, x = (int(rng.integers(size - side + 1)) for size in photo.shape[:2])
        cut = photo[y : y + side, x : x + side, :][:, :: rng.choice([-1, 1])]
        found.append(cv2.resize(np.ascontiguousarray(cut), (SIDE, SIDE), interpolation=cv2.INTER_AREA))
    return np.stack(found)


def outputs(case: Case, graph: Path, inputs: Array, runtime: str = "openvino") -> Array:
    with load(runtime, graph) as engine:
        name = engine.inputs[0].name
        return np.concatenate([engine.run({name: row[None]})[case.task.output] for row in inputs])


def labelled(case: Case, graph: Path, inputs: Array) -> SearchSet:
    """The pictures with what the float model says of them."""
    found = outputs(case, graph, inputs, "onnxruntime")
    samples = [Sample(str(index), graph, truth=case.truth(case.said(one))) for index, one in enumerate(found)]
    return SearchSet(samples, inputs, verdicts_of(found, case.task, samples))


def names_of(case: Case, known: SearchSet) -> list[str]:
    return [str(verdict.reading[case.reading]) for verdict in known.reference]


def agreement(case: Case, found: Array, known: SearchSet) -> float:
    pairs = zip(found, names_of(case, known), strict=True)
    return float(np.mean([case.said(one[None]) == name for one, name in pairs]))


class StoppedError(Exception):
    """NNCF asked for more graphs than it was given."""


@dataclass
class Counted:
    """NNCF's ``validation_fn``, counting."""

    case: Case
    most: int
    calls: int = 0
    inferences: int = 0
    metrics: list[float] = field(default_factory=list)

    @property
    def metrics_of_int8(self) -> list[float]:
        """Of all graphs but the float model's, which is 1; plain INT8's first."""
        return [metric for metric in self.metrics[1:] if metric < 1] or [1.0]

    def __call__(self, compiled: Any, items: Iterable[tuple[Array, str]]) -> tuple[float, list[float]]:
        if self.calls >= self.most:
            raise StoppedError
        request, right = compiled.create_infer_request(), []
        for picture, name in items:
            request.infer([picture])
            right.append(float(self.case.said(np.array(request.get_output_tensor(0).data)) == name))
        self.calls += len(right) > 1  # one item only shows NNCF what kind of answer it gets
        self.inferences += len(right)
        self.metrics.append(float(np.mean(right)))
        print(f"NNCF: {self.calls} graphs, {self.metrics[-1]:.3f}", file=sys.stderr, flush=True)
        return self.metrics[-1], right


def by_nncf(case: Case, graph: Path, search: SearchSet, into: Path, most: int) -> Counted:
    """What it asked for; its model is written to ``into``, unless it was stopped."""
    import nncf
    import openvino as ov

    counted = Counted(case, most)
    pairs = [(row[None], name) for row, name in zip(search.prepared, names_of(case, search), strict=True)]
    with suppress(StoppedError):
        model = nncf.quantize_with_accuracy_control(
            ov.Core().read_model(graph),
            calibration_dataset=nncf.Dataset([row[None] for row in case.calibration]),
            validation_dataset=nncf.Dataset(pairs, lambda pair: pair[0]),
            validation_fn=counted,
            max_drop=most_wrong(case) / SEARCH + 1e-9,
        )
        ov.save_model(model, into, compress_to_fp16=False)
    return counted


def by_us(case: Case, search: SearchSet, into: Path) -> tuple[FallbackFound, Path]:
    """What was found, and plain INT8; the mix is written to ``into``, and it is plain INT8 where none was found."""
    plan = calibrate(case.baked.graph, (row[None] for row in case.calibration), this_machine().int8_weight_bits)
    found = find_fallback(
        case.baked,
        plan,
        TARGET,
        search,
        case.task,
        [case.budget],
        Fallback(),
        None,
        lambda said: print(said, file=sys.stderr),
    )
    plain = into.with_name("plain.onnx")
    onnx.save(mixed_graph(case.baked, plan, TARGET, plan.layers), plain)
    onnx.save(mixed_graph(case.baked, plan, TARGET, (found.plan or plan).layers), into)
    return found, plain


def measure(names: Iterable[str], most: int) -> list[Row]:
    return [row for name in names for row in _measure(CASES[name](), most)]


def _measure(case: Case, most: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        graph, ours, theirs = (Path(folder, name) for name in ("float.onnx", "ours.onnx", "theirs.xml"))
        onnx.save(case.baked.graph, graph)
        search, judge = labelled(case, graph, case.seen), labelled(case, graph, case.unseen)
        found, plain = by_us(case, search, ours)
        with redirect_stdout(sys.stderr):  # NNCF talks on stdout
            counted = by_nncf(case, graph, search, theirs, most)
        np.save(Path(folder, "inputs.npy"), case.unseen[:20])
        paths = [path for path in (plain, ours, theirs) if path.is_file()]
        subjects = {path.stem: Subject("openvino", "CPU", path, path.stat().st_size) for path in (graph, *paths)}
        times = time_in_turns(subjects, Path(folder, "inputs.npy"), rounds=9)
        ms = {name: one.p50_ms for name, one in times.items()}
        kept = {path.stem: 100 * agreement(case, outputs(case, path, case.seen), search) for path in paths}
        later = {path.stem: 100 * agreement(case, outputs(case, path, case.unseen), judge) for path in paths}
    least = 100 * (1 - most_wrong(case) / SEARCH) - 1e-6
    return [
        *_met(case, kept, later, counted, least),
        stated(f"{case.name}, float", "latency p50 against plain INT8", "ms", ms["float"], 270, ms["plain"]),
        *_against(case, found, counted, ms, kept["ours"] >= least),
    ]


def _met(case: Case, kept: dict[str, float], later: dict[str, float], counted: Counted, least: float) -> list[Row]:
    name, figure = case.name, "agreement, searched set"
    their_plain, best = counted.metrics_of_int8[0], max(counted.metrics_of_int8)
    theirs = kept.get("theirs")
    word = "was stopped; best so far" if theirs is None else "inside" if theirs >= least else "MISSES the budget"
    return [
        stated(f"{name}, plain INT8 (reference: NNCF's)", figure, "%", kept["plain"], SEARCH, 100 * their_plain),
        at_least(f"{name}, ours", figure, "%", kept["ours"], least, SEARCH),
        stated(f"{name}, NNCF ({word})", figure, "%", 100 * best if theirs is None else theirs, SEARCH),
        stated(f"{name}, ours against NNCF", "agreement, unseen set", "%", later["ours"], JUDGE, later.get("theirs")),
    ]


def _against(case: Case, found: FallbackFound, counted: Counted, ms: dict[str, float], met: bool) -> list[Row]:
    # Of graphs and of inferences, the one that is less in our favour; of one that was stopped, those so far.
    share = max(found.inferences / counted.inferences, found.graphs / counted.calls)
    speed = ms["theirs"] / ms["ours"] if "theirs" in ms else 0.0
    name = f"{case.name}, ours against NNCF"
    return [
        stated(name, "latency p50", "ms", ms["ours"], 270, ms.get("theirs")),
        stated(name, "layers in float", "layers", float(len(found.kept_float)), 1),
        stated(name, "graphs run", "graphs", float(found.graphs), 1, float(counted.calls)),
        stated(name, "inferences", "inferences", float(found.inferences), 1, float(counted.inferences)),
        stated(name, "seconds of the search", "s", found.seconds, 1),
        at_least(name, "speed ÷ 1.3, or ⅓ ÷ evaluations", "×", max(speed / 1.3, 1 / 3 / share) if met else 0.0, 1, 1),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--most", type=int, default=200)
    told, sys.argv[1:] = parser.parse_known_args()
    main(lambda: measure([told.only] if told.only else CASES, told.most))
