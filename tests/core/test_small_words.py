"""Errors, tensors, verdicts, durable files, metrics: the words everyone shares."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from edgemill_core import errors
from edgemill_core.durable import canonical_json, sha256_bytes, sha256_file, write_bytes
from edgemill_core.metrics import METRICS, metric_named
from edgemill_core.picture_input import Colour, PictureInput
from edgemill_core.samples import Truth
from edgemill_core.tensors import TensorSpec, check_feeds
from edgemill_core.verdict import Decision, Verdict

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.EdgemillError)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_says_what_expected_got_and_what_to_do(kind: type[errors.EdgemillError]) -> None:
    error = kind("it broke", expected="whole", got="pieces", fix="glue it")
    assert str(error).splitlines() == ["it broke", "  expected: whole", "  got:      pieces", "  to do:    glue it"]
    assert error.as_dict()["to_do"] == "glue it"
    others = {"BudgetError": 1, "IdentityError": 1, "ProofError": 1, "RequirementError": 1, "TrustError": 1}
    others |= dict.fromkeys(
        ("CacheError", "ClusterError", "LinkError", "MissingPartError", "NoPlanError", "StepCrashed", "StoreError"), 3
    )
    assert error.exit_code == others.get(kind.__name__, 2)


def test_an_error_leaves_out_what_it_does_not_know() -> None:
    assert str(errors.EdgemillError("it broke")) == "it broke"


SPEC = TensorSpec("x", "uint8", (1, None, 3))


@pytest.mark.parametrize(
    ("feeds", "part"),
    [
        ({}, "other tensors"),
        ({"y": np.zeros((1, 2, 3), np.uint8)}, "other tensors"),
        ({"x": [[0]]}, "not a numpy array"),
        ({"x": np.zeros((1, 2, 3), np.float32)}, "float32[1, 2, 3]"),
        ({"x": np.zeros((1, 2, 4), np.uint8)}, "uint8[1, 2, 4]"),
        ({"x": np.zeros((2, 3), np.uint8)}, "uint8[2, 3]"),
    ],
)
def test_feeds_that_do_not_fit_are_refused(feeds: dict[str, np.ndarray], part: str) -> None:
    with pytest.raises(errors.InputError) as caught:
        check_feeds([SPEC], feeds)
    assert part in str(caught.value)


def test_feeds_that_fit_are_let_through() -> None:
    check_feeds([SPEC], {"x": np.zeros((1, 7, 3), np.uint8)})
    assert str(SPEC) == "x: uint8[1, ?, 3]"


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_bytes(path, b"old")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert sha256_file(path) == sha256_bytes(b"new")
    assert os.listdir(path.parent) == ["file"]


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    code = (
        "import resource, signal, pathlib\n"
        "from edgemill_core.durable import write_bytes\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        f"write_bytes(pathlib.Path({str(tmp_path)!r}, 'file'), b'new' * 10_000)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "File too large" in done.stderr
    assert (tmp_path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000


def test_json_has_one_spelling_and_no_nan() -> None:
    assert canonical_json({"b": 1, "a": "é"}) == '{\n  "a": "é",\n  "b": 1\n}\n'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": float("nan")})


PASSED, REJECTED = Verdict(Decision.PASS, (), 0.9, {"text": "A"}), Verdict(Decision.REJECT, (), 0.9, {"text": "B"})
UNSURE = Verdict(Decision.UNCERTAIN, (), 0.4, {"text": "A"})
GOOD, BAD = Truth(good=True, text="A"), Truth(good=False, text="A")


@pytest.mark.parametrize(
    ("metric", "truth", "verdict", "wrong"),
    [
        ("escape_rate", BAD, PASSED, True),
        ("escape_rate", BAD, REJECTED, False),
        ("escape_rate", BAD, UNSURE, False),
        ("escape_rate", GOOD, PASSED, None),
        ("overkill_rate", GOOD, PASSED, False),
        ("overkill_rate", GOOD, REJECTED, True),
        ("overkill_rate", GOOD, UNSURE, True),
        ("overkill_rate", BAD, PASSED, None),
        ("exact_rate", GOOD, UNSURE, False),
        ("exact_rate", GOOD, REJECTED, True),
        ("exact_rate", BAD, PASSED, None),
        ("exact_rate", Truth(good=True), PASSED, None),
    ],
)
def test_each_metric_counts_its_own_population(metric: str, truth: Truth, verdict: Verdict, wrong: bool | None) -> None:
    assert metric_named(metric).wrong(truth, verdict) is wrong


def test_every_metric_can_be_named() -> None:
    assert all(metric_named(name).name == name for name in METRICS)


def test_an_input_knows_its_channels() -> None:
    assert PictureInput(size=(4, 2)).channels == 3
    assert PictureInput(size=(4, 2), colour=Colour.GREY).channels == 1
    with pytest.raises(ValidationError):
        PictureInput.model_validate({"size": (0, 2)})
