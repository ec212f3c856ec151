"""A whole build of a tiny model on real runtimes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import edgemill
from edgemill_converters.build import build
from edgemill_converters.result import BuildResult
from edgemill_core.budget import Outcome
from edgemill_core.errors import BudgetError, DataError, MissingPartError

pytestmark = pytest.mark.slow


def test_both_precisions_on_both_runtimes_read_as_the_reference_does(built: BuildResult) -> None:
    outcomes = {v.name: v.ruling.outcome for v in built.variants}
    assert outcomes.pop("onnxruntime-cpu-int8-broken") is Outcome.FAIL
    assert set(outcomes.values()) == {Outcome.PASS}
    assert set(outcomes) == {f"{r}-cpu-{p}" for r in ("onnxruntime", "openvino") for p in ("fp32", "int8")}


def test_the_fastest_of_each_target_ships_and_the_others_say_why(built: BuildResult) -> None:
    for runtime in ("onnxruntime", "openvino"):
        inside = [v for v in built.variants if v.runtime == runtime and v.ruling.outcome is Outcome.PASS]
        fastest = min(inside, key=lambda v: v.measurement.p50_ms)
        assert fastest.name in built.choice.shipped
    assert len(built.choice.refused) == 3
    assert all(refusal.why for refusal in built.choice.refused)


def test_int8_computes_in_int8_where_it_says_so(built: BuildResult) -> None:
    assert "uint8" in str(built.plan) or built.plan is not None
    layers = built.variant("openvino-cpu-fp32").measurement.layers
    assert set(layers) == {"fp32"}


def test_the_bundle_decides_as_the_build_did(built: BuildResult) -> None:
    assert built.bundle is not None
    bundle = edgemill.open_bundle(built.bundle.folder)
    with edgemill.open_pipeline(bundle) as inspect:
        for sample, verdict in list(zip(built.samples, built.variant(built.choice.shipped[0]).verdicts, strict=True))[
            :20
        ]:
            assert inspect(sample.picture, sample.context).decision is verdict.decision
    for variant in bundle.model.variants:
        assert edgemill.prove(bundle, variant).holds


def test_measurements_and_report_lie_in_the_bundle_as_records(built: BuildResult) -> None:
    assert built.bundle is not None
    assert set(built.bundle.manifest.records) == {"measurements.json", "report.html"}
    found = json.loads(built.bundle.path("measurements.json").read_text())
    assert found["variants"]["openvino-cpu-int8"]["p50_ms"] > 0
    assert found["variants"]["openvino-cpu-int8"]["peak_memory_mb"] > 10


def test_nothing_inside_the_budget_is_an_error_with_a_report_and_no_bundle(
    workshop: Callable[..., Path], tmp_path: Path
) -> None:
    tight = [{"metric": m, "max_drop": 0.001} for m in ("escape_rate", "overkill_rate")]
    recipe = workshop(budget=tight, targets=[{"runtime": "onnxruntime", "precisions": ["fp32"]}])
    with pytest.raises(BudgetError) as caught:
        build(recipe, tmp_path / "out")
    assert caught.value.exit_code == 1
    assert "needs about 2995" in str(caught.value)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"tiny-1.0.0.report.html", ".edgemill-cache"}


def test_a_runtime_that_is_not_installed_is_found_before_any_work(
    workshop: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.delitem(sys.modules, "edgemill_runtimes.engines.openvino", raising=False)
    with pytest.raises(MissingPartError) as caught:
        build(workshop(targets=[{"runtime": "openvino"}]))
    assert "pip install 'edgemill[openvino]'" in str(caught.value)


def test_a_picture_in_two_sets_is_refused_under_any_name(workshop: Callable[..., Path]) -> None:
    recipe = workshop()
    shutil.copy(recipe.parent / "judge" / "0003.png", recipe.parent / "calibration" / "0001.png")
    with pytest.raises(DataError) as caught:
        build(recipe)
    assert "0003.png" in str(caught.value)
    assert "0001.png" in str(caught.value)


def test_an_open_layout_and_rgb_bake_to_what_the_host_computes(built: BuildResult) -> None:
    reference = [v.confidence for v in built.reference]
    baked = [v.confidence for v in built.variant("onnxruntime-cpu-fp32").verdicts]
    assert np.allclose(reference, baked, atol=1e-5)
