"""Cost-aware fallback against ``nncf.quantize_with_accuracy_control``: the same budget, the same data, one run.

The model is efficientnet-lite0 with its ImageNet weights; the pictures are crops of scikit-image's photographs; truth
is the class that the float model names, so that the metric is agreement with it. Both tools calibrate in their default
way on the same crops, and both look for the layers to leave in float on the same 300 crops on OpenVINO. NNCF knows no
confidence, so that ours gets a budget at 50 %, and NNCF the largest drop on these crops that its judge passes. A third
set of crops, which neither has seen, says what came of it.

NNCF's evaluations are counted where it asks for them: every call of ``validation_fn`` and every inference in it. Ours
are counted by the search itself, those of the reference, of the estimates and of timing included. Plain INT8 is honest:
it is what either tool gives without a word, and it misses the budget with both.

Needs the extra ``nncf``. Takes some ten minutes on 2 cores.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from form import Row, at_least, main, stated
from skimage import data
from torch_models import efficientnet_lite0

from edgemill_converters.bake import BakedModel, bake
from edgemill_converters.importers import ImportedModel
from edgemill_converters.judging import verdicts_of
from edgemill_converters.measuring import Subject
from edgemill_converters.measuring import measure as time_in_turns
from edgemill_converters.quantization.calibration import calibrate
from edgemill_converters.quantization.fallback import find_fallback
from edgemill_converters.quantization.fallback_found import FallbackFound
from edgemill_converters.quantization.settings import Fallback
from edgemill_converters.quantization.trials import SearchSet, mixed_graph
from edgemill_converters.recipe import Target
from edgemill_core.budget import Budget, Outcome
from edgemill_core.budget import judge as judge_of
from edgemill_core.picture_input import PictureInput
from edgemill_core.samples import Sample, Truth
from edgemill_core.tasks import ImageClassification
from edgemill_core.tensors import Array
from edgemill_core.verdict import Decision, Verdict
from edgemill_runtimes.engines import load

SIDE, SEED = 224, 3
CALIBRATION, SEARCH, JUDGE = 100, 300, 300
MAX_DROP = 0.05
CLASSES = tuple(f"{index:04d}" for index in range(1000))
TASK = ImageClassification(classes=CLASSES, fit=CLASSES[:1])
INPUT = PictureInput(size=(SIDE, SIDE), normalise={"mean": (127,), "std": (128,)})
TARGET = Target(runtime="openvino")
PHOTOS = ("astronaut", "coffee", "chelsea", "rocket", "cat")


BUDGET = Budget(metric="class_rate", max_drop=MAX_DROP, confidence=0.5)


def most_wrong(of: int) -> int:
    """How many of so many crops may be named otherwise for the judge to pass."""
    truths = [Truth(True, class_name="a")] * of
    right, wrong = (Verdict(Decision.PASS, (), 1.0, {"class": name}) for name in "ab")

    def passes(count: int) -> bool:
        seen = [wrong] * count + [right] * (of - count)
        return judge_of([BUDGET], truths, [right] * of, seen).outcome is Outcome.PASS

    return max(count for count in range(of // 10) if passes(count))


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


def outputs(graph: Path, inputs: Array, runtime: str = "openvino") -> Array:
    with load(runtime, graph) as engine:
        name = engine.inputs[0].name
        return np.concatenate([engine.run({name: row[None]})[TASK.output] for row in inputs])


def labelled(graph: Path, inputs: Array) -> SearchSet:
    """The crops with what the float model says of them."""
    found = outputs(graph, inputs, "onnxruntime")
    named = [CLASSES[int(row.argmax())] for row in found]
    samples = [Sample(str(index), graph, truth=Truth(True, class_name=name)) for index, name in enumerate(named)]
    return SearchSet(samples, inputs, verdicts_of(found, TASK, samples))


def agreement(found: Array, known: SearchSet) -> float:
    named = [sample.truth.class_name for sample in known.samples if sample.truth]
    return float(np.mean([CLASSES[int(row.argmax())] == name for row, name in zip(found, named, strict=True)]))


@dataclass
class Counted:
    """NNCF's ``validation_fn``, counting."""

    calls: int = 0
    inferences: int = 0
    metrics: list[float] = field(default_factory=list)

    def __call__(self, compiled: Any, items: Iterable[tuple[Array, str]]) -> tuple[float, list[float]]:
        request, right = compiled.create_infer_request(), []
        for picture, name in items:
            request.infer([picture])
            right.append(float(CLASSES[int(request.get_output_tensor(0).data.argmax())] == name))
        self.calls += len(right) > 1  # one item only shows NNCF what kind of answer it gets
        self.inferences += len(right)
        self.metrics.append(float(np.mean(right)))
        return self.metrics[-1], right


def by_nncf(graph: Path, calibration: Array, search: SearchSet, into: Path) -> tuple[Counted, float]:
    """Its model, written to ``into``; what it asked for, and the metric of its plain INT8."""
    import nncf
    import openvino as ov

    counted = Counted()
    named = [sample.truth.class_name for sample in search.samples if sample.truth]
    pairs = [(row[None], name) for row, name in zip(search.prepared, named, strict=True)]
    model = nncf.quantize_with_accuracy_control(
        ov.Core().read_model(graph),
        calibration_dataset=nncf.Dataset([row[None] for row in calibration]),
        validation_dataset=nncf.Dataset(pairs, lambda pair: pair[0]),
        validation_fn=counted,
        max_drop=most_wrong(SEARCH) / SEARCH + 1e-9,
    )
    ov.save_model(model, into, compress_to_fp16=False)
    whole = [metric for metric in counted.metrics[1:] if metric < 1]
    return counted, whole[0] if whole else 1.0


def by_us(baked: BakedModel, calibration: Array, search: SearchSet, into: Path) -> tuple[FallbackFound, Path]:
    """What was found, and plain INT8; the mix is written to ``into``, and it is plain INT8 where none was found."""
    plan = calibrate(baked.graph, (row[None] for row in calibration), 8)
    found = find_fallback(
        baked, plan, TARGET, search, TASK, [BUDGET], Fallback(), None, lambda said: print(said, file=sys.stderr)
    )
    plain = into.with_name("plain.onnx")
    onnx.save(mixed_graph(baked, plan, TARGET, plan.layers), plain)
    onnx.save(mixed_graph(baked, plan, TARGET, (found.plan or plan).layers), into)
    return found, plain


def measure() -> list[Row]:
    rng = np.random.default_rng(SEED)
    calibration, seen, unseen = (crops(count, rng) for count in (CALIBRATION, SEARCH, JUDGE))
    source = efficientnet_lite0()
    baked = bake(ImportedModel(source, "", onnx.load(source), None), INPUT, TASK)
    with tempfile.TemporaryDirectory() as folder:
        graph, ours, theirs = (Path(folder, name) for name in ("float.onnx", "ours.onnx", "theirs.xml"))
        onnx.save(baked.graph, graph)
        search, judge = labelled(graph, seen), labelled(graph, unseen)
        found, plain = by_us(baked, calibration, search, ours)
        with redirect_stdout(sys.stderr):  # NNCF talks on stdout
            counted, their_plain = by_nncf(graph, calibration, search, theirs)
        np.save(Path(folder, "inputs.npy"), unseen[:20])
        times = time_in_turns(
            {path.stem: Subject("openvino", "CPU", path, path.stat().st_size) for path in (graph, plain, ours, theirs)},
            Path(folder, "inputs.npy"),
            rounds=9,
        )
        ms = {name: one.p50_ms for name, one in times.items()}
        kept = {name: 100 * agreement(outputs(path, seen), search) for name, path in _paths(plain, ours, theirs)}
        later = {name: 100 * agreement(outputs(path, unseen), judge) for name, path in _paths(plain, ours, theirs)}
    return [
        *_met(kept, later, their_plain),
        stated("float", "latency p50 against plain INT8", "ms", ms["float"], 270, ms["plain"]),
        *_against(found, counted, ms, kept),
    ]


LEAST = 100 * (1 - most_wrong(SEARCH) / SEARCH) - 1e-6
"""Per cent of agreement that the budget asks for on the searched set."""


def _paths(*paths: Path) -> list[tuple[str, Path]]:
    return [(path.stem, path) for path in paths]


def _met(kept: dict[str, float], later: dict[str, float], their_plain: float) -> list[Row]:
    least = LEAST
    return [
        stated("plain INT8", "agreement, searched set", "%", kept["plain"], SEARCH, 100 * their_plain),
        at_least("ours", "agreement, searched set", "%", kept["ours"], least, SEARCH),
        stated(f"NNCF ({_word(kept['theirs'] >= least)})", "agreement, searched set", "%", kept["theirs"], SEARCH),
        stated("ours against NNCF", "agreement, unseen set", "%", later["ours"], JUDGE, later["theirs"]),
    ]


def _word(inside: bool) -> str:
    return "inside the budget" if inside else "MISSES the budget, returned all the same"


def _against(found: FallbackFound, counted: Counted, ms: dict[str, float], kept: dict[str, float]) -> list[Row]:
    # Of graphs and of inferences, the one that is less in our favour.
    share = max(found.inferences / counted.inferences, found.graphs / counted.calls)
    speed = ms["theirs"] / ms["ours"]
    case = "ours against NNCF"
    met = kept["ours"] >= LEAST
    return [
        stated(case, "latency p50", "ms", ms["ours"], 270, ms["theirs"]),
        stated(case, "layers in float", "layers", float(len(found.kept_float)), 1),
        stated(case, "graphs run", "graphs", float(found.graphs), 1, float(counted.calls)),
        stated(case, "inferences", "inferences", float(found.inferences), 1, float(counted.inferences)),
        stated(case, "seconds of the search", "s", found.seconds, 1),
        at_least(case, "speed ÷ 1.3, or ⅓ ÷ evaluations", "×", max(speed / 1.3, 1 / 3 / share) if met else 0.0, 1, 1),
    ]


if __name__ == "__main__":
    main(measure)
