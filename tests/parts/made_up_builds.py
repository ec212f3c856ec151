"""Made-up results of builds, and a reader of the pages that are written of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from edgemill_converters.choosing import Choice, Entrant, choose
from edgemill_converters.measuring import Measurement
from edgemill_converters.quantization.plan import Plan, Range
from edgemill_converters.recipe import Recipe
from edgemill_converters.report import write_report
from edgemill_converters.result import BuildResult, VariantResult
from edgemill_core.budget import Budget, Judgement, Outcome, Ruling
from edgemill_core.samples import Sample, Truth
from edgemill_core.statistics import PairedCounts
from edgemill_core.verdict import Decision, Verdict
from edgemill_runtimes.frames import encode_png

HOSTILE = """<b>&"'$x$</b><script src=//evil></script>"""
VOID = {"meta", "img", "br", "link", "hr", "input"}
REGION = (40, 30, 160, 48)
ESCAPES = Budget(metric="escape_rate", max_drop=0.01)
OVERKILL = Budget(metric="overkill_rate", max_drop=0.02, floor=0.9)


def read(text: str, expected: str, confidence: float = 0.9) -> Verdict:
    if text == expected:
        return Verdict(Decision.PASS, (), confidence, {"text": text})
    return Verdict(Decision.REJECT, (f"reads {text!r}, not {expected!r}",), confidence, {"text": text})


def make_samples(folder: Path, count: int = 12) -> tuple[Sample, ...]:
    """Even ones are good; bad ones carry another text than the line expects."""
    rng = np.random.default_rng(7)
    samples = []
    for index in range(count):
        path = folder / f"{index}.png"
        path.write_bytes(encode_png(rng.integers(235, 256, (120, 240, 3), dtype=np.uint8)))
        expected = f"LOT{index:02d}"
        truth = Truth(index % 2 == 0, expected if index % 2 == 0 else f"LOX{index:02d}")
        samples.append(Sample(f"judge-{index}", path, {"expected": expected}, truth))
    return tuple(samples)


def verdicts_on(samples: Sequence[Sample], **texts: str) -> tuple[Verdict, ...]:
    """Reads what is there, except where ``texts`` says otherwise (``s3="ABC"``)."""
    found = []
    for index, sample in enumerate(samples):
        assert sample.truth is not None
        found.append(read(texts.get(f"s{index}", str(sample.truth.text)), sample.context["expected"]))
    return tuple(found)


def make_judgement(budget: Budget, outcome: Outcome, bound: float, worse: int = 0) -> Judgement:
    needs = 650 if outcome is Outcome.UNDECIDED else None
    why = f"{budget.metric} worse by at most {bound:.2%}"
    counts = PairedCounts(400, worse, 0)
    return Judgement(
        budget, outcome, why, needs, counts, 0.01, 0.01 + worse / 400, counts.drop, bound, budget.confidence
    )


def make_variant(
    runtime: str, precision: str, ms: float, verdicts: tuple[Verdict, ...], outcome: Outcome = Outcome.PASS
) -> VariantResult:
    bound = {Outcome.PASS: 0.004, Outcome.UNDECIDED: 0.015, Outcome.FAIL: 0.6}[outcome]
    rng = np.random.default_rng(len(runtime))
    runs = tuple(float(run) for run in ms * (1 + rng.gamma(1.0, 0.05, 60)))
    layers = {"int8": 54, "fp32": 8} if precision == "int8" else {"fp32": 62}
    ruling = Ruling((make_judgement(ESCAPES, outcome, bound, 3), make_judgement(OVERKILL, Outcome.PASS, 0.01)))
    measured = Measurement(runs, 6_000_000 if precision == "int8" else 20_400_000, 98.4, 0.41, "1.27.0", layers)
    name, steps = f"{runtime}-cpu-{precision}", f"fix-shape → fold → write {precision}"
    return VariantResult(name, runtime, "CPU", precision, steps, measured, measured.size_bytes, ruling, verdicts)


def make_recipe(folder: Path, *runtimes: str) -> Recipe:
    x, y, width, height = REGION
    region = {"x": x, "y": y, "width": width, "height": height}
    return Recipe.model_validate(
        {
            "folder": folder,
            "name": "lot-code",
            "version": "1.2.3",
            "task": {"name": "text-recognition", "alphabet": "LOTX0123456789"},
            "model": "model.onnx",
            "input": {"size": [320, 48], "region": region},
            "data": {"calibration": {"pictures": "c"}, "judge": {"labels": "j"}},
            "budget": [ESCAPES.model_dump(), OVERKILL.model_dump()],
            "targets": [{"runtime": runtime} for runtime in runtimes],
        }
    )


def chosen_from(variants: Sequence[VariantResult]) -> Choice:
    return choose(
        [
            Entrant(
                v.name,
                f"{v.runtime}-{v.device}",
                v.measurement.p50_ms if v.measurement else v.size_bytes / 1e6,
                v.ruling.outcome,
                v.ruling.why,
                "ms" if v.measurement else "MB",
                is_timed=v.measurement is not None,
            )
            for v in variants
        ]
    )


def make_result(
    folder: Path,
    samples: tuple[Sample, ...],
    variants: Sequence[VariantResult],
    reference: tuple[Verdict, ...] | None = None,
) -> BuildResult:
    return BuildResult(
        recipe=make_recipe(folder, *dict.fromkeys(v.runtime for v in variants)),
        model={"file": "model.onnx", "sha256": "ab" * 32},
        environment={"cpu": "Testor 3000", "cores": 2, "features": ("avx2",), "parts": {"numpy": "2.1"}},
        samples=samples,
        reference=verdicts_on(samples) if reference is None else reference,
        variants=tuple(variants),
        choice=chosen_from(variants),
        plan=Plan({"a": Range(-1.0, 1.0)}, ("conv0", "conv1"), 7, "min-max", 48),
        seconds={"measure": 3.0, "judge": 1.0},
        bundle=None,
        report=folder / "report.html",
    )


def int8_wins(folder: Path) -> BuildResult:
    samples = make_samples(folder)
    same, flipped = verdicts_on(samples), verdicts_on(samples, s0="LOT0", s3="LOT03", s5="LQX05")
    return make_result(
        folder,
        samples,
        [
            make_variant("onnxruntime", "fp32", 10.0, same),
            make_variant("onnxruntime", "int8", 4.0, flipped),
            make_variant("openvino", "fp32", 6.0, same),
            make_variant("openvino", "int8", 9.0, same),
            replace(make_variant("onnxruntime", "int8", 3.9, flipped, Outcome.FAIL), name="onnxruntime-cpu-planted"),
        ],
    )


def one_target(folder: Path, fp32_ms: float, int8_ms: float, fp32: Outcome, int8: Outcome) -> BuildResult:
    samples = make_samples(folder, 4)
    same = verdicts_on(samples)
    variants = [
        make_variant("openvino", "fp32", fp32_ms, same, fp32),
        make_variant("openvino", "int8", int8_ms, same, int8),
    ]
    return make_result(folder, samples, variants)


class Reader(HTMLParser):
    """Checks nesting, and notes identifiers, links, tags and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attrs}
        self.tags.add(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found[key] for key in ("src", "href") if key in found]
        self.images += [found] if tag == "img" else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parse(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


def parsed(result: BuildResult, path: Path) -> tuple[Reader, str]:
    write_report(result, path)
    page = path.read_text(encoding="utf-8")
    return parse(page), page
