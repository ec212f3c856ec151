"""The picture report: whole, honest, safe to open, and the same for the same result."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from edgemill_converters.choosing import Choice, Entrant, choose
from edgemill_converters.measuring import Measurement
from edgemill_converters.quantization.plan import Plan, Range
from edgemill_converters.recipe import Objective, Recipe
from edgemill_converters.report import write_report
from edgemill_converters.report.confusion import confusion
from edgemill_converters.report.flips import Kind, flips
from edgemill_converters.report.headline import Tone, headline
from edgemill_converters.report.making import making_section
from edgemill_converters.report.markup import Markup, element, joined
from edgemill_converters.report.pictures import flips_section
from edgemill_converters.report.tables import variants_table
from edgemill_converters.result import BuildResult, VariantResult
from edgemill_core.budget import Budget, Judgement, Outcome, Ruling
from edgemill_core.bundle import Bundle, GoldenEntry, GoldenInputs, Manifest, ModelEntry, VariantEntry
from edgemill_core.picture_input import PictureInput
from edgemill_core.samples import Sample, Truth
from edgemill_core.statistics import PairedCounts
from edgemill_core.verdict import Decision, Verdict
from edgemill_runtimes.frames import decode, encode_png

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
    return VariantResult(name, runtime, "CPU", precision, steps, measured, ruling, verdicts)


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
            Entrant(v.name, f"{v.runtime}-{v.device}", v.measurement.p50_ms, v.ruling.outcome, v.ruling.why)
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


@dataclass(frozen=True)
class Written:
    """A result and its page."""

    result: BuildResult
    reader: Reader
    page: str


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("report")
    result = int8_wins(folder)
    return Written(result, *parsed(result, folder / "r.html"))


def test_page_is_whole_and_loads_nothing(written: Written) -> None:
    reader, page = written.reader, written.page
    assert page.startswith("<!DOCTYPE html>")
    assert headline(written.result).sentence in reader.text
    assert len(page.encode()) < 250_000
    assert not {"script", "iframe", "object", "embed", "base", "form"} & reader.tags
    assert reader.links
    assert all(link.startswith(("#", "data:image/jpeg;base64,")) for link in reader.links)
    assert "@import" not in page
    assert {url.partition(")")[0][:1] for url in page.split("url(")[1:]} <= {"#"}


def test_identifiers_are_unique_and_links_lead_somewhere(written: Written) -> None:
    reader = written.reader
    assert len(reader.ids) == len(set(reader.ids))
    assert {link[1:] for link in reader.links if link.startswith("#")} <= set(reader.ids)


def test_every_picture_and_plot_has_words(written: Written) -> None:
    reader, page = written.reader, written.page
    assert all(image["alt"] for image in reader.images)
    drawings = re.findall(r"<svg[^>]*>", page)
    assert len(drawings) == 4
    assert all('role="img"' in drawing and "openvino-cpu-int8" in drawing for drawing in drawings)


def test_names_all_variants_with_reasons_and_figures(written: Written) -> None:
    result, reader = written.result, written.reader
    assert len(result.choice.refused) == 3
    for wanted in (*(v.name for v in result.variants), *(r.why for r in result.choice.refused)):
        assert wanted in reader.text
    for wanted in ("54 int8, 8 fp32", "20.4", "60.00%", "min-max", "ab" * 32, "Testor 3000", "numpy 2.1", "90.00%"):
        assert wanted in reader.text


def test_equal_results_give_equal_bytes_whatever_the_settings(tmp_path: Path, written: Written) -> None:
    import matplotlib

    again = tmp_path / "again.html"
    with matplotlib.rc_context({"font.size": 20, "svg.fonttype": "path", "axes.grid": True}):
        write_report(written.result, again)
        assert matplotlib.rcParams["font.size"] == 20
    assert again.read_text(encoding="utf-8") == written.page


def test_hostile_names_stay_names(tmp_path: Path) -> None:
    samples = make_samples(tmp_path, 2)
    samples = (replace(samples[0], id=HOSTILE, context={HOSTILE: HOSTILE}, truth=Truth(True, HOSTILE)), samples[1])
    reference = (read(HOSTILE, HOSTILE), read("x", "y"))
    flipped = (Verdict(Decision.REJECT, (HOSTILE,), 0.1, {"text": "<i>", HOSTILE: HOSTILE}), read("x", "y"))
    variant = replace(make_variant("openvino", "int8", 3.0, flipped, Outcome.FAIL), name=HOSTILE, steps=HOSTILE)
    variant = replace(variant, ruling=Ruling((), (HOSTILE,)), runtime=HOSTILE, device=HOSTILE, precision=HOSTILE)
    result = make_result(tmp_path, samples, [variant], reference)
    result = replace(result, environment={HOSTILE: HOSTILE}, model={HOSTILE: HOSTILE}, seconds={HOSTILE: 1.0})
    reader, page = parsed(result, tmp_path / "r.html")
    assert HOSTILE not in page
    assert "script" not in reader.tags
    assert "<b>&" not in page
    assert "<i>" not in page
    assert page.count(escape(HOSTILE)) > 10
    assert HOSTILE in reader.text


def test_int8_that_ships_is_compared_with_fp32_of_its_own_runtime(tmp_path: Path) -> None:
    result = int8_wins(tmp_path)
    said = headline(result)
    assert said.tone is Tone.GOOD
    first, second = said.sentence.split("; ")
    fp32, int8 = result.variant("onnxruntime-cpu-fp32"), result.variant("onnxruntime-cpu-int8")
    speed_up = fp32.measurement.p50_ms / int8.measurement.p50_ms
    assert first.startswith(f"INT8 ships for onnxruntime on CPU, {speed_up:.2f} times as fast as FP32")
    assert second.startswith("FP32 ships for openvino on CPU, because INT8 was slower (")


def test_says_plainly_that_fp32_ships_because_int8_was_slower(tmp_path: Path) -> None:
    result = one_target(tmp_path, 5.0, 10.0, Outcome.PASS, Outcome.PASS)
    said = headline(result)
    assert said.tone is Tone.PLAIN
    assert "FP32 ships for openvino on CPU, because INT8 was slower" in said.sentence
    assert "0.50×" in parse(variants_table(result)).text


@pytest.mark.parametrize(
    ("int8_ms", "outcome", "words"),
    [
        (3.0, Outcome.FAIL, "because INT8 is outside the budget."),
        (8.0, Outcome.FAIL, "because INT8 is outside the budget, and was slower besides ("),
        (3.0, Outcome.UNDECIDED, "because INT8 was judged on too few samples to tell."),
    ],
)
def test_says_why_fp32_ships(tmp_path: Path, int8_ms: float, outcome: Outcome, words: str) -> None:
    assert words in headline(one_target(tmp_path, 5.0, int8_ms, Outcome.PASS, outcome)).sentence


def test_int8_may_ship_although_slower_where_fp32_fails(tmp_path: Path) -> None:
    said = headline(one_target(tmp_path, 5.0, 8.0, Outcome.FAIL, Outcome.PASS))
    assert "INT8 ships for openvino on CPU, slower than FP32" in said.sentence
    assert "which is not inside the budget" in said.sentence


def test_variants_without_a_rival_say_so(tmp_path: Path) -> None:
    samples = make_samples(tmp_path, 4)
    alone = [make_variant("openvino", "fp32", 5.0, verdicts_on(samples))]
    assert "the only precision asked for" in headline(make_result(tmp_path, samples, alone)).sentence
    alone = [make_variant("openvino", "int8", 5.0, verdicts_on(samples))]
    assert "no FP32 to compare with" in headline(make_result(tmp_path, samples, alone)).sentence


def test_objective_p99_is_the_latency_that_is_compared(tmp_path: Path) -> None:
    result = one_target(tmp_path, 9.0, 3.0, Outcome.PASS, Outcome.PASS)
    result = replace(result, recipe=result.recipe.model_copy(update={"objective": Objective.LATENCY_P99}))
    p99 = result.variant("openvino-cpu-int8").measurement.p99_ms
    assert f"({p99:.2f} ms against " in headline(result).sentence
    assert ", p99)" in headline(result).sentence


def test_says_plainly_that_nothing_ships_and_why(tmp_path: Path) -> None:
    result = one_target(tmp_path, 5.0, 3.0, Outcome.FAIL, Outcome.UNDECIDED)
    reader, page = parsed(result, tmp_path / "r.html")
    assert "Nothing ships: no variant for openvino on CPU is inside the budget." in reader.text
    for refusal in result.choice.refused:
        assert f"{refusal.variant}: {refusal.why}" in reader.text
    assert "none: there is no bundle" in reader.text
    assert "★" not in reader.text
    assert 'class="tiles"' not in page


def test_one_unserved_target_means_that_nothing_ships(tmp_path: Path) -> None:
    samples = make_samples(tmp_path, 4)
    good = make_variant("onnxruntime", "fp32", 9.0, verdicts_on(samples))
    bad = make_variant("openvino", "int8", 4.0, verdicts_on(samples), Outcome.FAIL)
    result = make_result(tmp_path, samples, [good, bad])
    said = headline(result)
    assert said.tone is Tone.BAD
    assert said.sentence == "Nothing ships: no variant for openvino on CPU is inside the budget."
    assert said.details[1].startswith("onnxruntime-cpu-fp32: best of its target, but there is no bundle")
    assert "★" not in parse(variants_table(result)).text


def test_digest_of_the_bundle_is_named_or_why_it_is_not(tmp_path: Path) -> None:
    result = one_target(tmp_path, 5.0, 3.0, Outcome.PASS, Outcome.PASS)
    assert "sealed after this report is written" in parse(making_section(result)).text
    bundle = make_bundle(tmp_path, result.recipe.input)
    assert bundle.manifest.content_digest in parse(making_section(replace(result, bundle=bundle))).text


def make_bundle(folder: Path, declared: PictureInput) -> Bundle:
    golden = GoldenInputs(inputs="i.npy", contexts=({},), reference=("pass",), frames=(), prepared=())
    variant = VariantEntry(
        name="openvino-cpu-int8",
        runtime="openvino",
        device="CPU",
        precision="int8",
        graph="g.onnx",
        weights="g.weights",
        golden=GoldenEntry(outputs="o.npy", decisions=("pass",), tolerance=0.05),
    )
    model = ModelEntry(name="lot-code", task={}, input=declared, golden=golden, variants=(variant,))
    manifest = Manifest(
        schema_version="1.0", min_agent="0.1.0", name="lot-code", version="1.2.3", models=(model,), files={}
    )
    return Bundle(folder, manifest)


def test_flips_are_sorted_by_danger(tmp_path: Path) -> None:
    samples = make_samples(tmp_path, 8)
    before = list(verdicts_on(samples, s6="LOT6"))
    after = list(verdicts_on(samples, s0="LOT0", s3="LOT03", s5="LQX05"))
    after[7] = replace(after[7], decision=Decision.UNCERTAIN)
    found = flips(samples, before, after, ["escape_rate", "overkill_rate"])
    assert [flip.sample.id for flip in found] == ["judge-3", "judge-0", "judge-6", "judge-7", "judge-5"]
    assert [flip.kind for flip in found] == [Kind.WORSE, Kind.WORSE, Kind.BETTER, Kind.NEUTRAL, Kind.READING]
    assert [flip.metrics for flip in found[:3]] == [("escape_rate",), ("overkill_rate",), ("overkill_rate",)]
    assert found[0].escapes


def test_a_verdict_without_a_number_is_worse_as_the_judge_has_it(tmp_path: Path) -> None:
    bad = make_samples(tmp_path, 2)[1:]
    (flip,) = flips(bad, verdicts_on(bad), [Verdict(Decision.REJECT, ("not numbers",))], ["escape_rate"])
    assert flip.kind is Kind.WORSE


def test_pictures_of_flips_are_cropped_and_captioned(written: Written) -> None:
    reader, page = written.reader, written.page
    assert len(reader.images) == 6
    content = base64.b64decode(reader.images[0]["src"].partition(",")[2])
    assert decode(content).shape == (REGION[3], REGION[2], 3)
    assert (
        "3 of 12 verdicts differ between reference and variant: 2 for the worse, 1 with the same decision"
        in reader.text
    )
    assert reader.text.count("No flips: all 12 verdicts as the reference's.") == 3
    assert "LO<mark>T</mark>03" in page
    assert "LOT0<del>0</del>" in page


def test_a_picture_that_is_gone_is_named(tmp_path: Path) -> None:
    result = int8_wins(tmp_path)
    result.samples[3].picture.unlink()
    reader = parse(flips_section(result))
    assert len(reader.images) == 4
    assert f"cannot be shown: there is no picture at {result.samples[3].picture}" in reader.text


def test_a_region_outside_of_the_picture_is_named(tmp_path: Path) -> None:
    result = int8_wins(tmp_path)
    small = result.samples[0].picture
    small.write_bytes(encode_png(np.zeros((20, 20, 3), np.uint8)))
    reader = parse(flips_section(result))
    assert f"the region to look at lies outside of {small}" in reader.text


def test_many_noisy_flips_keep_the_page_small(tmp_path: Path) -> None:
    noisy = tmp_path / "noisy.png"
    noisy.write_bytes(encode_png(np.random.default_rng(3).integers(0, 256, (360, 480, 3), dtype=np.uint8)))
    samples = tuple(replace(sample, picture=noisy) for sample in make_samples(tmp_path))
    wrong = verdicts_on(samples, **{f"s{index}": "" for index in range(12)})
    variants = [replace(make_variant("openvino", "int8", 3.0, wrong), name=f"v{n}") for n in range(5)]
    result = make_result(tmp_path, samples, variants)
    result = replace(result, recipe=result.recipe.model_copy(update={"input": PictureInput(size=(320, 240))}))
    section = flips_section(result)
    reader = parse(section)
    assert len(reader.images) == 40
    assert reader.text.count("The first 8:") == 5
    assert len(section.encode()) < 1_200_000


def test_confusion_counts_by_truth_and_decision(tmp_path: Path) -> None:
    samples = (*make_samples(tmp_path, 4), Sample("x", tmp_path / "x.png"))
    counts = confusion(samples, (*verdicts_on(samples[:4], s3="LOT03"), read("a", "a")))
    assert counts == {(True, Decision.PASS): 2, (False, Decision.PASS): 1, (False, Decision.REJECT): 1}


def test_text_is_escaped_and_markup_is_not() -> None:
    inner = element("i", "<&>", class_='"')
    assert inner == '<i class="&quot;">&lt;&amp;&gt;</i>'
    assert element("p", inner, "<") == f"<p>{inner}&lt;</p>"
    assert joined(["<", inner], "&") == f"&lt;&amp;{inner}"
    assert isinstance(joined([]), Markup)
