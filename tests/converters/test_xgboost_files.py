"""XGBoost's files before XGBoost sees them: what would end its process, or make no sense, is said in words."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_classes import imported

from edgemill_converters.importers.tree import NoTree
from edgemill_converters.importers.ubjson import read_ubjson
from edgemill_converters.importers.xgboost_file import parse_xgboost, read_xgboost
from edgemill_core.errors import MissingPartError


def tree(**changes: Any) -> dict[str, Any]:
    """One split, two leaves, as XGBoost writes it."""
    numbers = ("base_weights", "loss_changes", "sum_hessian")
    return {
        **{key: [0.0, 0.0, 0.0] for key in numbers},
        **{key: [] for key in ("categories", "categories_nodes", "categories_segments", "categories_sizes")},
        "default_left": [0, 0, 0],
        "id": 0,
        "left_children": [1, -1, -1],
        "right_children": [2, -1, -1],
        "parents": [2147483647, 0, 0],
        "split_conditions": [0.5, -1.0, 1.0],
        "split_indices": [1, 0, 0],
        "split_type": [0, 0, 0],
        "tree_param": {"num_deleted": "0", "num_feature": "2", "num_nodes": "3", "size_leaf_vector": "1"},
        **changes,
    }


def document(trees: list[Any] | None = None) -> dict[str, Any]:
    """A model of two features."""
    grown = [tree()] if trees is None else trees
    model = {
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(grown))},
        "iteration_indptr": list(range(len(grown) + 1)),
        "tree_info": [0] * len(grown),
        "trees": grown,
    }
    learner = {
        "attributes": {},
        "feature_names": ["a", "b"],
        "feature_types": [],
        "gradient_booster": {"model": model, "name": "gbtree"},
        "learner_model_param": {"base_score": "5E-1", "num_class": "0", "num_feature": "2", "num_target": "1"},
        "objective": {"name": "reg:squarederror"},
    }
    return {"learner": learner, "version": [3, 0, 0]}


def ubjson(value: Any) -> bytes:
    """UBJSON as XGBoost writes it: lengths of eight bytes, numbers of one type packed."""

    def count(number: int) -> bytes:
        return b"L" + struct.pack(">q", number)

    def text(said: str) -> bytes:
        return count(len(said.encode())) + said.encode()

    if isinstance(value, dict):
        return b"{" + b"".join(text(key) + ubjson(one) for key, one in value.items()) + b"}"
    if isinstance(value, list) and value and all(type(one) is int for one in value):
        return b"[$l#" + count(len(value)) + np.array(value, ">i4").tobytes()
    if isinstance(value, list) and value and all(type(one) is float for one in value):
        return b"[$d#" + count(len(value)) + np.array(value, ">f4").tobytes()
    if isinstance(value, list):
        return b"[#" + count(len(value)) + b"".join(ubjson(one) for one in value)
    return b"S" + text(value) if isinstance(value, str) else b"l" + struct.pack(">i", value)


@pytest.mark.parametrize("write", [lambda found: json.dumps(found).encode(), ubjson])
def test_both_forms_give_the_same_model(write: Callable[[Any], bytes]) -> None:
    found = read_xgboost(parse_xgboost(write(document([tree(), tree()]))))
    assert (found.features, found.feature_count, found.objective) == (("a", "b"), 2, "reg:squarederror")
    assert (found.version, found.rounds, found.best_round) == ((3, 0, 0), 2, None)
    ((first, _),) = found.columns
    assert first.thresholds.dtype == np.float32
    assert first.thresholds.tolist() == [0.5, -1.0, 1.0]
    assert first.features.tolist() == [1, 0, 0]


WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a circle of children": (lambda d: of(d)["trees"][0].update(left_children=[0, -1, -1]), "tree 0: .*two parents"),
    "a circle of parents": (lambda d: of(d)["trees"][0].update(parents=[1, 0, 0, 0]), "parents is not 3 numbers"),
    "other parents": (lambda d: of(d)["trees"][0].update(parents=[2147483647, 2, 1]), "parents that are not"),
    "a child beyond": (lambda d: of(d)["trees"][0].update(right_children=[2**31, -1, -1]), "no node"),
    "a feature beyond": (lambda d: of(d)["trees"][0].update(split_indices=[2, 0, 0]), "feature 2 of 2"),
    "too few conditions": (lambda d: of(d)["trees"][0].update(split_conditions=[0.5]), "split_conditions is not 3"),
    "words for numbers": (lambda d: of(d)["trees"][0].update(split_conditions=["a", "b", "c"]), "split_conditions"),
    "no conditions": (lambda d: of(d)["trees"][0].pop("split_conditions"), "tree 0: no 'split_conditions'"),
    "no number": (lambda d: of(d)["trees"][0].update(split_conditions=[0.5, float("nan"), 1.0]), "no number"),
    "categories": (lambda d: of(d)["trees"][0].update(split_type=[1, 0, 0]), "by category"),
    "vectors as leaves": (lambda d: of(d)["trees"][0]["tree_param"].update(size_leaf_vector="3"), "several numbers"),
    "dart": (lambda d: d["learner"]["gradient_booster"].update(name="dart"), "booster 'dart'"),
    "a linear model": (lambda d: d["learner"]["gradient_booster"].update(name="gblinear"), "booster 'gblinear'"),
    "several targets": (lambda d: d["learner"]["learner_model_param"].update(num_target="2"), "2 targets"),
    "no learner": (lambda d: d.pop("learner"), "it lacks 'learner'"),
    "a learner that is a number": (lambda d: d.update(learner=3), "not as XGBoost writes it"),
    "no version": (lambda d: d.pop("version"), "it lacks 'version'"),
    "more trees than it says": (lambda d: of(d)["gbtree_model_param"].update(num_trees="7"), "where it says 7"),
    "an output that it does not have": (lambda d: of(d).update(tree_info=[4]), "outputs"),
    "iterations of other trees": (lambda d: of(d).update(iteration_indptr=[0, 9]), "iterations"),
    "no trees": (lambda d: of(d).update(trees=[]), "0 trees"),
}


def of(found: dict[str, Any]) -> dict[str, Any]:
    """The part with the trees."""
    model: dict[str, Any] = found["learner"]["gradient_booster"]["model"]
    return model


@pytest.mark.parametrize("what", WRONG)
def test_what_contradicts_itself_is_said(what: str) -> None:
    change, said = WRONG[what]
    wrong = document()
    change(wrong)
    with pytest.raises(NoTree, match=said):
        read_xgboost(wrong)


BROKEN: dict[str, tuple[bytes, str]] = {
    "JSON cut off": (json.dumps(document()).encode()[:300], "300 bytes"),
    "JSON nested without end": (b'{"a":' + b"[" * 200_000, "nested too deep"),
    "JSON with a key twice": (b'{"learner": 1, "learner": 2}', "a key twice"),
    "JSON that is a list": (b"[1, 2]", "no object|no marker|behind its end|cut off"),
    "UBJSON cut off": (ubjson(document())[:300], "cut off"),
    "UBJSON nested without end": (b"{L\0\0\0\0\0\0\0\1a" + b"[" * 200_000, "nested deeper than 32"),
    "UBJSON with a key twice": (b"{U\1aTU\1aT}", "the key 'a' twice"),
    "UBJSON of numbers that are not there": (b"{U\1a[$d#L\x7f" + b"\xff" * 7, "a container of"),
    "UBJSON of values without bytes": (b"{U\1a[$Z#L\x7f" + b"\xff" * 7, "nobody writes"),
    "UBJSON of objects without a number": (b"{U\1a[$U]", "nobody writes"),
    "UBJSON with a negative length": (b"{i\xffa", "a length of -1"),
    "UBJSON with more behind it": (b"{}x", "1 bytes behind"),
    "another marker": (b"{U\1a?", "no marker"),
    "text that is none": (b"{U\1\xffT}", "utf-8"),
    "nothing": (b"", "cut off"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_said_at_once(what: str) -> None:
    content, said = BROKEN[what]
    with pytest.raises(NoTree, match=said):
        parse_xgboost(content)


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([b"{", b"[", b"$", b"#", b"U\1", b"L", b"d", b"}"])).map(b"".join)
)
@settings(max_examples=150, deadline=None)
def test_whatever_the_bytes_are_it_ends(content: bytes) -> None:
    with suppress(ValueError):
        read_ubjson(content)


@given(st.integers(0, 2000), st.integers(0, 255))
@settings(max_examples=100, deadline=None)
def test_a_byte_that_changed_is_read_or_refused(place: int, value: int) -> None:
    content = bytearray(ubjson(document()))
    content[place % len(content)] = value
    with suppress(NoTree):
        read_xgboost(parse_xgboost(bytes(content)))


@pytest.mark.parametrize(
    ("file", "module", "extra"), [("model.ubj", "xgboost", "xgboost"), ("model.skops", "skops", "sklearn")]
)
def test_a_library_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / file).write_bytes(ubjson(document()))
    with pytest.raises(MissingPartError, match=rf"pip install 'edgemill\[{extra}\]'"):
        imported(tmp_path, file)
