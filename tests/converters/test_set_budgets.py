"""Budgets of numbers of a whole set, in recipes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_tensors import write_words_recipe

from edgemill_converters.recipe import read_recipe
from edgemill_core.errors import RecipeError


@pytest.mark.parametrize(
    ("metric", "part"),
    [
        ("f1@furious", "a class that the task does not have"),
        ("character_error_rate", "a metric that task 'classification' does not have"),
        ("f1@", "a metric that task 'classification' does not have"),
    ],
)
def test_what_the_task_does_not_have_is_refused_with_what_it_has(metric: str, part: str, tmp_path: Path) -> None:
    path = write_words_recipe(tmp_path, budget=[{"metric": metric, "max_drop": 0.2}])
    with pytest.raises(RecipeError, match=part) as caught:
        read_recipe(path)
    assert "angry" in str(caught.value) or "auroc" in str(caught.value)
