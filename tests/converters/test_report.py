"""The picture report: whole, honest, safe to open, and the same for the same result."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

import numpy as np
import pytest
from made_up_builds import (
    HOSTILE,
    REGION,
    Reader,
    int8_wins,
    make_result,
    make_samples,
    make_variant,
    one_target,
    parse,
    parsed,
    read,
    verdicts_on,
)

from edgemill_converters.recipe import Objective
from edgemill_converters.report import write_report
from edgemill_converters.report.confusion import confusion
from edgemill_converters.report.flips import Kind, flips
from edgemill_converters.report.headline import Tone, headline
from edgemill_converters.report.making import making_section
from edgemill_converters.report.markup import Markup, element, joined
from edgemill_converters.report.pictures import flips_section
from edgemill_converters.report.tables import variants_table
from edgemill_converters.result import BuildResult
from edgemill_core.budget import Outcome, Ruling
from edgemill_core.bundle import Bundle, GoldenEntry, GoldenInputs, Manifest, ModelEntry, VariantEntry
from edgemill_core.picture_input import PictureInput
from edgemill_core.samples import Sample, Truth
from edgemill_core.verdict import Decision, Verdict
from edgemill_runtimes.frames import decode, encode_png


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
    assert len(drawings) == 8
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
