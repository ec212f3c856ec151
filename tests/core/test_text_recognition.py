"""Reading a line of print, from hand-made probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemill_core.errors import EngineError, RecipeError
from edgemill_core.tasks import TextRecognition, task_from
from edgemill_core.verdict import Decision

ALPHABET = "AB1- "
TASK = TextRecognition(alphabet=ALPHABET, min_confidence=0.5)


def steps(*best: str, peak: float = 0.9) -> np.ndarray:
    """One step per item: a character of the alphabet, or "" for the blank."""
    rows = np.full((len(best), 1 + len(ALPHABET)), (1 - peak) / len(ALPHABET), np.float32)
    for row, character in zip(rows, best, strict=True):
        row[0 if not character else 1 + ALPHABET.index(character)] = peak
    return rows


def decide(values: np.ndarray, **context: str):  # type: ignore[no-untyped-def]
    return TASK.verdict({"probabilities": values[None]}, context)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (["A", "B"], "AB"),
        (["A", "A", "B"], "AB"),
        (["A", "", "A"], "AA"),
        (["", "", "A", ""], "A"),
        ([" ", "A", "", " ", "B", " "], "A B"),
        (["", ""], ""),
        ([" "], ""),
    ],
)
def test_repeats_merge_and_blanks_vanish(given: list[str], text: str) -> None:
    assert TASK.read(steps(*given))[0] == text


def test_confidence_is_that_of_the_weakest_character_at_its_surest_step() -> None:
    rows = np.concatenate([steps("A", peak=0.95), steps("B", peak=0.6), steps("B", peak=0.7), steps("1", peak=0.99)])
    text, confidence = TASK.read(rows)
    assert text == "AB1"
    assert confidence == pytest.approx(0.7)


def test_spaces_at_the_ends_do_not_weaken_a_reading() -> None:
    rows = np.concatenate([steps(" ", peak=0.3), steps("A"), steps(" ", peak=0.3)])
    assert TASK.read(rows) == ("A", pytest.approx(0.9))


@given(st.text(st.sampled_from(ALPHABET), max_size=12))
def test_any_text_written_with_blanks_between_reads_back(text: str) -> None:
    spread = [item for character in text for item in (character, "")]
    assert TASK.read(steps("", *spread))[0] == text.strip()


def test_the_right_code_passes() -> None:
    verdict = decide(steps("A", "1"), expected="A1")
    assert (verdict.decision, verdict.reasons) == (Decision.PASS, ())
    assert verdict.as_dict()["confidence"] == pytest.approx(0.9)


def test_another_code_is_rejected_with_both() -> None:
    verdict = decide(steps("A", "1"), expected="B1")
    assert verdict.decision is Decision.REJECT
    assert verdict.reasons == ("reads 'A1', not 'B1'",)


def test_no_text_is_rejected() -> None:
    verdict = decide(steps("", ""), expected="A1")
    assert (verdict.decision, verdict.reasons, verdict.confidence) == (Decision.REJECT, ("no text found",), 0.0)


def test_a_weak_reading_is_uncertain() -> None:
    verdict = decide(steps("A", "1", peak=0.4), expected="A1")
    assert verdict.decision is Decision.UNCERTAIN
    assert "0.40, below 0.50" in verdict.reasons[0]


@pytest.mark.parametrize(("given", "decision"), [("A1", Decision.PASS), ("AA1", Decision.REJECT)])
def test_the_pattern_counts_where_the_line_expects_nothing(given: str, decision: Decision) -> None:
    task = TextRecognition(alphabet=ALPHABET, pattern="[AB]1", min_confidence=0.5)
    values = steps(*[item for character in given for item in (character, "")])
    assert task.verdict({"probabilities": values[None]}, {}).decision is decision


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_rejected_and_never_right(value: float) -> None:
    values = steps("A", "1")
    values[0, 0] = value
    verdict = decide(values, expected="A1")
    assert verdict.decision is Decision.REJECT
    assert np.isnan(verdict.confidence)
    assert verdict.as_dict()["confidence"] is None


def test_a_missing_output_is_an_error() -> None:
    with pytest.raises(EngineError, match="no output to read"):
        TASK.verdict({"logits": np.zeros((1, 1, 6))}, {})


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"name": "beauty"}, "no task called 'beauty'"),
        ({}, "no task called None"),
        ({"name": "text-recognition"}, "alphabet"),
        ({"name": "text-recognition", "alphabet": "AAB"}, "stand twice"),
        ({"name": "text-recognition", "alphabet": "AB", "pattern": "("}, "not a regular expression"),
        ({"name": "text-recognition", "alphabet": "AB", "colour": 1}, "no such key"),
        ({"name": "text-recognition", "alphabet": "AB", "min_confidence": 50}, "less than or equal to 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object], part: str) -> None:
    with pytest.raises(RecipeError) as caught:
        task_from(settings)
    assert part in str(caught.value)
    assert caught.value.fix
