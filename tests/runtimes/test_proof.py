"""A bundle that does not decide here as it did there is found out."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from edgemill_converters.result import BuildResult
from edgemill_core.bundle import Bundle, Manifest, describe_files, open_bundle, write_bundle
from edgemill_core.errors import BundleError, EngineCrashed, EngineError, MissingPartError
from edgemill_runtimes.isolation import IsolatedEngine
from edgemill_runtimes.pipeline import open_pipeline, variant_for
from edgemill_runtimes.proof import frames_hold, load_array, prove


@pytest.fixture
def bundle(built: BuildResult, tmp_path: Path) -> Bundle:
    """A copy that may be spoiled."""
    assert built.bundle is not None
    shutil.copytree(built.bundle.folder, tmp_path / "bundle")
    return open_bundle(tmp_path / "bundle")


def resealed(bundle: Bundle, manifest: Manifest | None = None) -> Bundle:
    """What a careless or hostile build would ship: other bytes, with digests to match."""
    manifest = manifest or bundle.manifest
    fresh = manifest.model_copy(update={"files": describe_files(bundle.folder, list(manifest.files))})
    source = bundle.folder.rename(bundle.folder.with_name("spoiled"))
    write_bundle(source, fresh, bundle.folder)
    return open_bundle(bundle.folder)


def test_the_machine_that_built_it_proves_it(bundle: Bundle) -> None:
    assert frames_hold(bundle)
    for variant in bundle.model.variants:
        proof = prove(bundle, variant)
        assert proof.holds
        assert proof.changed == 0
        assert proof.as_dict()["samples"] == 32


def test_outputs_that_differ_fail_the_proof(bundle: Bundle) -> None:
    variant = bundle.model.variants[0]
    path = bundle.path(variant.golden.outputs)
    np.save(path, np.load(path) + 0.5)
    proof = prove(resealed(bundle), variant)
    assert not proof.holds
    assert proof.largest_difference == pytest.approx(0.5, abs=0.3)


def test_outputs_of_another_shape_fail_the_proof(bundle: Bundle) -> None:
    variant = bundle.model.variants[0]
    path = bundle.path(variant.golden.outputs)
    np.save(path, np.load(path)[:, :1])
    proof = prove(resealed(bundle), variant)
    assert not proof.holds
    assert proof.as_dict()["largest_difference"] is None


@pytest.mark.parametrize("broken", ["contexts", "decisions", "inputs", "none"])
def test_golden_samples_that_do_not_belong_together_are_refused(bundle: Bundle, broken: str) -> None:
    manifest, variant = bundle.manifest, bundle.model.variants[0]
    golden = bundle.model.golden
    if broken == "contexts":
        model = bundle.model.model_copy(update={"golden": golden.model_copy(update={"contexts": golden.contexts[:-1]})})
        manifest = manifest.model_copy(update={"models": (model,)})
    elif broken == "decisions":
        less = variant.golden.model_copy(update={"decisions": variant.golden.decisions[:-1]})
        variant = variant.model_copy(update={"golden": less})
    else:
        inputs = np.load(bundle.path(golden.inputs))
        np.save(bundle.path(golden.inputs), inputs[:3] if broken == "inputs" else inputs[:0])
    with pytest.raises(BundleError) as caught:
        prove(resealed(bundle, manifest), variant)
    assert "do not belong together" in str(caught.value)
    assert "32 " in str(caught.value.got)


def test_frames_without_their_digests_are_refused(bundle: Bundle) -> None:
    golden = bundle.model.golden.model_copy(update={"prepared": ()})
    model = bundle.model.model_copy(update={"golden": golden})
    with pytest.raises(BundleError, match="do not belong together"):
        frames_hold(resealed(bundle, bundle.manifest.model_copy(update={"models": (model,)})))


def test_decisions_that_differ_fail_the_proof_beyond_the_number_allowed(bundle: Bundle) -> None:
    variant = bundle.model.variants[0]
    flipped = tuple("reject" if d == "pass" else d for d in variant.golden.decisions)
    changed = sum(a != b for a, b in zip(flipped, variant.golden.decisions, strict=True))
    spoiled = variant.model_copy(update={"golden": variant.golden.model_copy(update={"decisions": flipped})})
    assert changed > 3
    assert not prove(bundle, spoiled, allowed=changed - 1).holds
    assert prove(bundle, spoiled, allowed=changed).holds


def test_int8_from_another_kind_of_cpu_is_named_as_the_likely_cause(bundle: Bundle) -> None:
    elsewhere = bundle.model.variants[0].model_copy(update={"cpu": "riscv64-dot"})
    assert "built on riscv64-dot" in prove(bundle, elsewhere).note


def test_pre_processing_that_differs_is_found(bundle: Bundle) -> None:
    shutil.copy(bundle.path("golden/frame-0.png"), bundle.path("golden/frame-1.png"))
    assert not frames_hold(resealed(bundle))


def test_golden_samples_that_are_no_arrays_are_refused(bundle: Bundle) -> None:
    np.save(bundle.path("golden/inputs.npy"), np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(BundleError, match="without pickles"):
        load_array(resealed(bundle), "golden/inputs.npy")


def test_a_runtime_that_the_bundle_lacks_is_named(bundle: Bundle) -> None:
    with pytest.raises(EngineError) as caught:
        variant_for(bundle, "tensorrt")
    assert "onnxruntime" in str(caught.value)
    assert "openvino" in str(caught.value)


def test_the_next_variant_is_taken_where_a_runtime_is_not_installed(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for runtime in ("openvino", "onnxruntime"):
        monkeypatch.setitem(sys.modules, runtime, None)
        monkeypatch.delitem(sys.modules, f"edgemill_runtimes.engines.{runtime}", raising=False)
        if runtime == "openvino":
            with open_pipeline(bundle) as pipeline:
                assert pipeline.facts().runtime == "onnxruntime"
    with pytest.raises(MissingPartError) as caught:
        open_pipeline(bundle)
    assert "none of the bundle's runtimes" in str(caught.value)


def test_a_pipeline_may_have_its_engine_in_a_process_of_its_own(built: BuildResult) -> None:
    assert built.bundle is not None
    sample = built.samples[0]
    with open_pipeline(built.bundle) as inside, open_pipeline(built.bundle, isolated=True) as outside:
        assert outside(sample.picture, sample.context) == inside(sample.picture, sample.context)
        assert isinstance(outside.engine, IsolatedEngine)
        os.kill(outside.engine.pid, signal.SIGKILL)
        with pytest.raises(EngineCrashed):
            outside(sample.picture, sample.context)
        outside.engine.restart()
        assert outside(sample.picture, sample.context) == inside(sample.picture, sample.context)
