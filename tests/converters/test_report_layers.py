"""Precision by layer, sensitive layers, and everything that was tried."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_builds import HOSTILE, int8_wins, one_target, parse

from edgemill_converters.choosing import Refusal
from edgemill_converters.quantization.fallback_found import FallbackFound, LayerEffect, TriedMix
from edgemill_converters.report.making import making_section
from edgemill_converters.report.page import _sections
from edgemill_converters.report.precision import LISTED, cells, precision_section, shares_of
from edgemill_converters.report.sensitivity import MIXES, sensitivity_section
from edgemill_converters.report.tried import tried_section
from edgemill_converters.result import BuildResult
from edgemill_core.budget import Outcome
from edgemill_runtimes.engines import Layer

LAYERS = st.lists(
    st.builds(Layer, st.just("c"), st.sampled_from(["int8", "fp32"]), st.integers(0, 10**6), st.booleans()), min_size=1
)


def with_layers(result: BuildResult, layers: tuple[Layer, ...]) -> BuildResult:
    first = result.variants[0]
    measured = replace(first.measurement, by_layer=layers)
    return replace(result, variants=(replace(first, measurement=measured), *result.variants[1:]))


@given(LAYERS)
def test_the_strip_keeps_order_and_work_and_joins_only_what_is_alike(layers: list[Layer]) -> None:
    found = cells(layers)
    assert [layer for cell in found for layer in cell.layers] == layers
    assert sum(cell.share for cell in found) == pytest.approx(1)
    assert all({(one.precision, one.unfused) for one in cell.layers} == {cell.alike} for cell in found)


def test_layers_without_known_work_count_alike() -> None:
    assert shares_of([Layer("a", "fp64"), Layer("b", "fp64", 3)]) == [0.5, 0.5]
    assert shares_of([Layer("a", "fp32", 1), Layer("b", "int8", 3)]) == [0.25, 0.75]


def test_precision_by_layer_names_work_and_unfused(tmp_path: Path) -> None:
    layers = (Layer("stem", "int8", 700), Layer(HOSTILE, "fp32", 200, unfused=True), Layer("head", "fp32", 100))
    page = precision_section(with_layers(int8_wins(tmp_path), layers))
    text = parse(page).text
    assert "70.0% in int8 (1 layer), 30.0% in fp32 (2 layers). 1 unfused" in text
    assert "fp32, unfused" in text
    assert page.count('class="u"') == 1
    assert HOSTILE not in page
    assert text.count("The runtime tells nothing of its layers.") == 4


def test_a_table_of_many_layers_keeps_the_heavy_and_the_unfused(tmp_path: Path) -> None:
    layers = tuple(Layer(f"n{index}", "int8", 1000 - index, unfused=index == 299) for index in range(300))
    page = precision_section(with_layers(int8_wins(tmp_path), layers))
    assert page.count("<code>n") == LISTED
    assert "<code>n299</code>" in page
    assert "The other 240 have" in page
    assert len(page) < 40_000


def searched(layers: int = 60, mixes: int = 3) -> FallbackFound:
    effects = tuple(
        LayerEffect(f"conv{index}", "Conv", 0.5 / (index + 1), 0.1 - 0.01 * index, index < 2, index % 2 == 0)
        for index in range(layers)
    )
    tried = tuple(
        TriedMix(
            f"{index} of {layers} float",
            tuple(effect.layer for effect in effects[:index]),
            {"escape_rate": 0.03 - 0.01 * min(index, 2)},
            4.0 + index if index else None,
            Outcome.PASS if index >= 2 else Outcome.FAIL,
            index >= 2,
            f"because of {index}",
        )
        for index in range(mixes)
    )
    return FallbackFound("openvino-cpu", None, effects, tried, 31, 992, 4, 12.5, ("plain INT8 was outside",))


def test_a_search_shows_layers_mixes_and_what_it_took(tmp_path: Path) -> None:
    result = replace(one_target(tmp_path, 5.0, 3.0, Outcome.PASS, Outcome.FAIL), fallbacks=(searched(),))
    text = parse(sensitivity_section(result)).text
    for words in (
        "2 of 60 layers stay float. 3 mixes were judged on the search set",
        "all in all 31 graphs were run, 992 inferences in 12.5 s",
        "4 of the graphs had been run by an earlier",
        "plain INT8 was outside",
        "20 less sensitive ones are not listed",
        "because of 1",
        "≈ 25.000%",
    ):
        assert words in text


def test_a_search_that_looked_at_no_layer_says_why(tmp_path: Path) -> None:
    found = replace(searched(), layers=(), tried=())
    page = sensitivity_section(replace(int8_wins(tmp_path), fallbacks=(found,)))
    assert "plain INT8 was outside" in page
    assert "<svg" not in page
    assert "<table" not in page


def test_many_mixes_are_cut(tmp_path: Path) -> None:
    page = sensitivity_section(replace(int8_wins(tmp_path), fallbacks=(searched(mixes=MIXES + 5),)))
    assert page.count('<tr class="why">') == MIXES
    assert "The first 5 are not listed." in page


def test_the_section_stands_only_where_something_was_searched(tmp_path: Path) -> None:
    result = one_target(tmp_path, 5.0, 3.0, Outcome.PASS, Outcome.PASS)
    assert "sensitivity" not in [section[0] for section in _sections(result)]
    assert "sensitivity" in [section[0] for section in _sections(replace(result, fallbacks=(searched(),)))]


def test_everything_that_was_tried_has_a_reason(tmp_path: Path) -> None:
    result = int8_wins(tmp_path)
    refused = (*result.choice.refused, Refusal("openvino-cpu-fp16", f"no kernel {HOSTILE}"))
    result = replace(result, choice=replace(result.choice, refused=refused), fallbacks=(searched(),))
    page = tried_section(result)
    text = parse(page).text
    for refusal in refused:
        assert refusal.why in text
    assert text.count("★ ships") == 2
    assert f"never measured: no kernel {HOSTILE}" in text
    assert HOSTILE not in page
    assert "openvino-cpu: 2 of 60 float" in text
    assert "60.00×" in text


def test_digests_are_named_and_times_added_up(tmp_path: Path) -> None:
    result = int8_wins(tmp_path)
    text = parse(making_section(replace(result, digests={"judge set": "cd" * 32}))).text
    assert "judge set sha256" + "cd" * 32 in text
    assert f"together{sum(result.seconds.values()):.1f} s" in text
