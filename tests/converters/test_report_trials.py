"""The report's section of a search: every trial drawn, those that nothing beats in words, hostile words as words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_up_builds import HOSTILE, int8_wins, parse, parsed

from edgemill_converters.quantization.plan import Plan
from edgemill_converters.report.trials import TITLES, trials_section
from edgemill_converters.report.trials_drawing import points_of
from edgemill_converters.searching.found import Proposal, SearchFound, Seen, Trial
from edgemill_converters.searching.settings import OBJECTIVES, ObjectiveName
from edgemill_converters.searching.space import Choice
from edgemill_core.budget import Outcome


def trial(number: int, loss: float, share: float, inside: bool = True) -> Trial:
    values: dict[ObjectiveName, float] = dict.fromkeys(OBJECTIVES, share)
    seen = Seen(Outcome.PASS, inside, {}, "", {**values, "loss": loss}, 4, 5, 10, 20, 1000, 30)
    return Trial(number, Choice("int8", "percentile", 0.125, 40, True, number), f"graph {number}", seen)


def found(*objectives: ObjectiveName, **changes: Any) -> SearchFound:
    refused = Trial(3, Choice("int8-weights"), "", None, HOSTILE)
    trials = (trial(0, 0.3, 0.6), trial(1, 0.1, 0.5), trial(2, 0.2, 0.4, inside=False), refused)
    proposals = (Proposal(1, "", Plan({}, (), 8, "", 40)),)
    told: Any = (trials, (1, 2), proposals, 12, 3456, 2, 7.0, ("nothing beats 2 of 4 trials", HOSTILE))
    return replace(SearchFound("openvino-cpu", 0, objectives, *told), **changes)


def test_trials_are_drawn_with_their_settings_and_the_front_is_listed(tmp_path: Path) -> None:
    result = replace(int8_wins(tmp_path), searches=(found("loss", "latency_p99"),))
    _, text = parsed(result, tmp_path / "report.html")
    section = text[text.index('id="trials"') : text.index('id="flips"')]
    for number in (0, 1, 2):
        assert f"<title>trial {number}: percentile 99.875, 40 pictures, biases corrected" in section
    assert section.count("<title>trial") == 3
    assert "4 trials, 2 of them by an earlier, broken-off search" in section
    assert "12 graphs were run, 3,456 inferences" in section
    assert '<th scope="row">★ 1</th>' in section
    assert '<th scope="row">2</th>' in section
    assert '<th scope="row">0</th>' not in section
    assert "<script" not in section


@pytest.mark.parametrize("objectives", [("loss",), ("latency_p50",), ("memory", "size"), OBJECTIVES])
def test_any_objectives_can_be_drawn(tmp_path: Path, objectives: tuple[ObjectiveName, ...]) -> None:
    searched = found(*objectives)
    text = trials_section(replace(int8_wins(tmp_path), searches=(searched,)))
    parse(text)
    assert "4 trials" in text
    assert f">{TITLES[objectives[0]]}<" in text
    assert [one.best for one in points_of(searched)] == [False, True, True]
    assert [one.shape for one in points_of(searched)] == ["D", "*", "o"]
    assert [one.inside for one in points_of(searched)] == [True, True, False]


def test_a_search_in_which_nothing_could_be_run_is_drawn_empty(tmp_path: Path) -> None:
    none = found("loss", "size")
    none = replace(none, trials=none.trials[3:], front=(), proposals=())
    text = trials_section(replace(int8_wins(tmp_path), searches=(none,)))
    parse(text)
    assert "trial 3, int8-weights: &lt;b&gt;" in text
