"""Named tensors as one row of values, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edgemill_core.errors import EngineError, InputError, RecipeError
from edgemill_core.tasks import Classification, task_from
from edgemill_core.tensor_input import TensorInput
from edgemill_core.verdict import Decision

TYPES = ("float32", "int64", "int32", "uint8", "bool")


KINDS = st.tuples(st.sampled_from(TYPES), st.lists(st.integers(1, 4), min_size=1, max_size=3))


@given(st.lists(KINDS, min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_what_is_put_together_comes_apart_again(kinds: list[tuple[str, list[int]]], seed: int) -> None:
    declared = TensorInput.model_validate(
        {"tensors": {f"t{index}": {"dtype": dtype, "shape": shape} for index, (dtype, shape) in enumerate(kinds)}}
    )
    rng = np.random.default_rng(seed)
    arrays = {name: rng.integers(0, 2, one.shape).astype(one.dtype) for name, one in declared.tensors.items()}
    prepared = declared.prepare(arrays)
    assert prepared.shape == (1, sum(array.size for array in arrays.values()))
    assert prepared.dtype == np.dtype(declared.dtype)
    assert (declared.dtype == "float32") == any(dtype == "float32" for dtype, _ in kinds)
    apart = declared.apart(prepared)
    assert list(apart) == list(arrays)
    for name, array in arrays.items():
        assert apart[name].dtype == array.dtype
        assert np.array_equal(apart[name], array)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (np.zeros((1, 3), np.int64), "does not fit"),
        (np.zeros((1, 2)), "does not fit"),
        (np.array([["a", "b"]]), "does not fit"),
        (np.array([[1, 2**24 + 1]]), "cannot take"),
    ],
)
def test_what_would_be_altered_is_refused(value: Any, complaint: str) -> None:
    declared = TensorInput.model_validate({"tensors": {"ids": {"dtype": "int64", "shape": [1, 2]}, "x": [1, 2]}})
    fit = np.zeros((1, 2), np.float32)
    assert declared.prepare({"x": fit, "ids": np.array([[1, 2**24]])}).shape == (1, 4)
    with pytest.raises(InputError, match=rf"'ids'.*{complaint}"):
        declared.prepare({"ids": value, "x": fit})
    with pytest.raises(InputError, match=r"'x'.*cannot take"):
        declared.prepare({"ids": np.zeros((1, 2), np.int64), "x": np.full((1, 2), np.nan)})


@pytest.mark.parametrize(
    "wrong",
    [
        {"tensors": {}},
        {"tensors": {"x": [0]}},
        {"tensors": {"x": [1]}, "fixed": {"x": 1}},
        {"tensors": {"x": [1 << 14, 1 << 13]}},
        {"tensors": {"x": {"shape": [1], "dtype": "float64"}}},
        {"tensors": {"x": [1]}, "size": [3, 3]},
    ],
)
def test_declarations_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TensorInput.model_validate(wrong)


@pytest.mark.parametrize(
    ("within", "value", "decision"),
    [
        ({}, 5.0, Decision.SCORE),
        ({"low": 1}, 0.5, Decision.REJECT),
        ({"low": 1}, 1.0, Decision.PASS),
        ({"high": 2}, 2.0, Decision.PASS),
        ({"high": 2}, 2.5, Decision.REJECT),
        ({"low": 1, "high": 2}, 1.5, Decision.PASS),
    ],
)
def test_regression_decides_by_its_limits(within: dict[str, float], value: float, decision: Decision) -> None:
    task = task_from({"name": "regression", "values": ["gap", "tilt"], "within": {"gap": within} if within else {}})
    verdict = task.verdict({"values": np.array([[value, 9.0]])}, {})
    assert verdict.decision is decision
    assert verdict.reading == {"values": {"gap": value, "tilt": 9.0}}
    assert not verdict.broken
    assert task.verdict({"values": np.array([[np.nan, 9.0]])}, {}).decision is Decision.REJECT


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize(
    "settings",
    [
        {"name": "regression", "values": ["gap", "tilt"]},
        {"name": "classification", "classes": ["worn", "new"], "fit": ["new"]},
        {"name": "market-risk", "levels": [0.01, 0.025]},
    ],
)
def test_an_output_of_another_width_is_named(settings: dict[str, Any], width: int) -> None:
    task = task_from(settings)
    rows = np.full((1, width), 0.5, np.float32)
    with pytest.raises(EngineError, match="output of another width") as caught:
        task.verdict({task.output: rows}, {})
    assert "2 values" in str(caught.value.expected)
    assert f"shape [1, {width}]" in str(caught.value.got)
    if isinstance(task, Classification):
        with pytest.raises(EngineError, match="output of another width"):
            task.scores_of(rows)


@pytest.mark.parametrize("wrong", [{"values": ["a", "a"]}, {"within": {"b": {"low": 1}}}, {"values": []}])
def test_regression_refuses_settings_that_do_not_fit(wrong: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        task_from({"name": "regression", **wrong})
