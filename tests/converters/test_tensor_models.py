"""Models that take tensors or rows of float32: built, judged, proved and run; and what does not fit is said."""

from __future__ import annotations

import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator
from tiny_tensors import (
    COLUMNS,
    LENGTH,
    numbers,
    words,
    write_numbers_recipe,
    write_rows,
    write_words,
    write_words_recipe,
)

from edgemill.cli.run import RunSettings, run
from edgemill_converters.bake import bake
from edgemill_converters.build import build
from edgemill_converters.comparing.compare import compare
from edgemill_converters.comparing.sides import read_side
from edgemill_converters.importers import ImportedModel, import_model
from edgemill_converters.judging import reference_outputs, verdicts_of
from edgemill_converters.recipe import read_recipe
from edgemill_converters.result import BuildResult
from edgemill_converters.sight import Sight
from edgemill_core.budget import Outcome, judge
from edgemill_core.bundle import schema_version
from edgemill_core.errors import InputError, ModelError, RecipeError
from edgemill_core.samples import Sample, Truth
from edgemill_core.tasks import Classification
from edgemill_core.tensor_files import read_tensors
from edgemill_core.tensor_input import TensorInput
from edgemill_core.verdict import Decision
from edgemill_runtimes.engines import load
from edgemill_runtimes.pipeline import open_pipeline
from edgemill_runtimes.proof import prove_all


@pytest.fixture(scope="module")
def built_words(tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    folder = tmp_path_factory.mktemp("words")
    return build(write_words_recipe(folder), folder)


@pytest.fixture(scope="module")
def built_numbers(tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    folder = tmp_path_factory.mktemp("numbers")
    return build(write_numbers_recipe(folder), folder)


class TestTensors:
    def test_every_runtime_gives_what_the_untouched_model_gives(self, built_words: BuildResult) -> None:
        assert built_words.bundle is not None
        model = ReferenceEvaluator(words())
        rng = np.random.default_rng(9)
        for runtime in ("onnxruntime", "openvino"):
            with open_pipeline(built_words.bundle, runtime) as pipeline:
                for _ in range(20):
                    ids, mask = rng.integers(0, 40, (1, LENGTH)), rng.integers(0, 2, (1, LENGTH))
                    (logits,) = model.run(None, {"ids": ids, "mask": mask, "scale": np.float32(2)})
                    calm = float(1 / (1 + np.exp(logits[0, 1] - logits[0, 0])))
                    verdict = pipeline({"ids": ids, "mask": mask})
                    assert verdict.decision is (Decision.PASS if calm >= 0.5 else Decision.REJECT)
                    assert verdict.confidence == pytest.approx(max(calm, 1 - calm), abs=0.03)

    def test_two_sides_are_compared_on_a_folder_with_labels_or_without(
        self, built_words: BuildResult, tmp_path: Path
    ) -> None:
        assert built_words.bundle is not None
        side = read_side(str(built_words.bundle.folder))
        write_words(tmp_path / "set", 4, 3)
        (tmp_path / "set" / "labels.csv").unlink()
        assert [one.truth for one in compare(side, side, tmp_path, data=tmp_path / "set").samples] == [None] * 4
        (tmp_path / "set" / "labels.csv").write_text("file,class\n000.npz,calm\n001.npz,angry\n")
        found = compare(side, side, tmp_path, data=tmp_path / "set").samples
        assert [one.truth.good for one in found if one.truth] == [True, False]  # as the task has it

    def test_the_bundle_proves_itself_and_older_agents_refuse_it(self, built_words: BuildResult) -> None:
        assert built_words.bundle is not None
        model = built_words.bundle.model
        bare = [one.model_copy(update={"requires": None}) for one in model.variants]  # as before there was that key
        assert schema_version([model.model_copy(update={"variants": tuple(bare)})]) == "1.3"
        with open_pipeline(built_words.bundle) as pipeline:
            assert all(proof.holds for proof in prove_all(pipeline, built_words.bundle).values())

    def test_numbers_of_the_whole_set_are_judged_and_reported(self, built_words: BuildResult) -> None:
        for variant in built_words.variants:
            for judgement in variant.ruling.judgements[1:]:
                assert judgement.outcome is Outcome.PASS
                assert judgement.budget.metric == "calibration_error" or judgement.reference == 1
                assert judgement.counts.n == 120
                assert judgement.drop_upper_bound > judgement.drop
        assert built_words.bundle is not None
        page = (built_words.bundle.folder.parent / "mood-1.0.0.report.html").read_text(encoding="utf-8")
        assert "F1 of angry" in page
        assert "AUROC (good parts ranked above bad ones)" in page
        assert "are compared by a bootstrap over samples" in page

    def test_the_command_judges_files(self, built_words: BuildResult, capsys: pytest.CaptureFixture[str]) -> None:
        assert built_words.bundle is not None
        folder = built_words.bundle.folder.parent / "judge"
        run(RunSettings(built_words.bundle.folder, (folder,), None, None, None, None, json=False))
        assert len(capsys.readouterr().out.splitlines()) == 120

    def test_tensors_that_are_not_those_of_the_model_are_said(self, tmp_path: Path) -> None:
        one = {"shape": [1, LENGTH], "dtype": "int64"}
        recipe = write_words_recipe(tmp_path, input={"tensors": {"ids": one, "mask": one}})
        with pytest.raises(ModelError, match="are not those of the model") as told:
            build(recipe, tmp_path)
        assert "mask: int64[n, l]" in told.value.expected
        assert "scale: float[]" in told.value.expected

    @pytest.mark.parametrize("value", [[1.0, 2.0], "two", 1e300, float("nan")])
    def test_a_fixed_value_that_does_not_fit_is_said(self, tmp_path: Path, value: Any) -> None:
        one = {"shape": [1, LENGTH], "dtype": "int64"}
        declared = TensorInput.model_validate({"tensors": {"ids": one, "mask": one}, "fixed": {"scale": 2.0}})
        declared = declared.model_copy(update={"fixed": {"scale": value}})
        with pytest.raises(ModelError, match="fixes for 'scale'"):
            bake(ImportedModel(tmp_path, "", words(), None), declared, Classification(classes=("a", "b"), fit=("a",)))

    @given(st.integers(0, 10**6), st.integers(0, 255))
    @settings(max_examples=60, deadline=None)
    def test_a_file_that_is_broken_somewhere_is_an_input_error_or_still_whole(self, place: int, byte: int) -> None:
        one = {"shape": [1, LENGTH], "dtype": "int64"}
        declared = TensorInput.model_validate({"tensors": {"ids": one}})
        for write, suffix in ((np.savez_compressed, "npz"), (np.save, "npy")):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, f"one.{suffix}")
                given = np.arange(LENGTH)[None]
                write(path, ids=given) if suffix == "npz" else write(path, given)
                content = bytearray(path.read_bytes())
                content[place % len(content)] = byte
                path.write_bytes(content)
                with suppress(InputError):
                    assert read_tensors(path, declared).shape == (1, LENGTH)

    def test_a_header_that_claims_more_than_there_is_takes_no_memory(self, tmp_path: Path) -> None:
        header = {"descr": "<i8", "fortran_order": False, "shape": (1, 99_999_999_999_999)}
        with (tmp_path / "lie.npy").open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
        declared = TensorInput.model_validate({"tensors": {"ids": {"shape": [1, LENGTH], "dtype": "int64"}}})
        with pytest.raises(InputError, match=r"lie\.npy cannot be read"):
            read_tensors(tmp_path / "lie.npy", declared)

    def test_a_file_with_other_tensors_is_named(self, built_words: BuildResult, tmp_path: Path) -> None:
        assert built_words.bundle is not None
        ids, mask = np.zeros((1, LENGTH), np.int64), np.ones((1, LENGTH), np.int64)
        cases = {
            "lacking": {"ids": ids},
            "shape": {"ids": ids[:, 1:], "mask": mask},
            "floats": {"ids": ids.astype(np.float32), "mask": mask},
            "pickle": {"ids": np.array([[{}] * LENGTH]), "mask": mask},
        }
        with open_pipeline(built_words.bundle, "onnxruntime") as pipeline:
            for name, arrays in cases.items():
                path = tmp_path / f"{name}.npz"
                np.savez(path, **arrays)
                with pytest.raises(InputError, match=f"{name}.npz"):
                    pipeline(path)
            whole = (tmp_path / "lacking.npz").read_bytes()
            (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
            with pytest.raises(InputError, match="cannot be read"):
                pipeline(tmp_path / "cut.npz")
            with pytest.raises(InputError, match="takes something else"):
                pipeline(np.zeros((8, 8, 3), np.uint8))

    def test_a_file_that_would_unpack_to_far_more_is_not_unpacked(
        self, built_words: BuildResult, tmp_path: Path
    ) -> None:
        assert built_words.bundle is not None
        with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("ids.npy", bytes(1 << 27))
        with open_pipeline(built_words.bundle, "onnxruntime") as pipeline, pytest.raises(InputError) as told:
            pipeline(tmp_path / "bomb.npz")
        assert "134,217,728 bytes" in told.value.got


class TestRows:
    def test_a_model_of_float32_is_judged_by_its_error(self, built_numbers: BuildResult) -> None:
        assert built_numbers.bundle is not None
        assert sorted(built_numbers.choice.shipped) == ["onnxruntime-cpu-fp32", "openvino-cpu-fp32"]
        (judgement,) = built_numbers.variants[0].ruling.judgements
        assert judgement.reference == pytest.approx(0.5, abs=1e-5)
        row = dict(zip(COLUMNS, (0.25, -1.0, 2.0), strict=True))
        (expected,) = ReferenceEvaluator(numbers(1)).run(None, {"x": np.array([[*row.values()]], "f")})
        with open_pipeline(built_numbers.bundle, "openvino") as pipeline:
            verdict = pipeline(row)
        assert verdict.decision is Decision.SCORE
        assert verdict.reading["values"] == {"hours": pytest.approx(float(expected[0, 0]), rel=1e-4)}

    def test_limits_decide(self, built_numbers: BuildResult) -> None:
        assert built_numbers.bundle is not None
        with open_pipeline(built_numbers.bundle, "onnxruntime") as pipeline:
            row = dict.fromkeys(COLUMNS, 1.0)
            hours = pipeline(row).reading["values"]["hours"]  # type: ignore[index]
            pipeline.tune({"within": {"hours": {"high": hours - 0.01}}})
            late = pipeline(row)
            pipeline.tune({"within": {"hours": {"low": hours - 0.01, "high": hours + 0.01}}})
            assert pipeline(row).decision is Decision.PASS
        assert late.decision is Decision.REJECT
        assert late.reasons == (f"hours is {hours:.6g} h",)

    def test_fp64_is_refused_for_what_computes_in_float32(self, tmp_path: Path) -> None:
        recipe = write_numbers_recipe(tmp_path, targets=[{"runtime": "onnxruntime", "precisions": ["fp64"]}])
        with pytest.raises(RecipeError, match="computes in float32") as told:
            build(recipe, tmp_path)
        assert "precisions: [fp32]" in told.value.fix

    def test_int8_of_rows_is_calibrated_on_rows(self, tmp_path: Path) -> None:
        write_rows(tmp_path / "calibration.csv", 64, 3, 1)
        data = {"judge": {"rows": "judge.csv"}, "calibration": {"rows": "calibration.csv"}}
        budget = [{"metric": "absolute_error", "max_drop": 0.9}]
        targets = [{"runtime": "onnxruntime", "precisions": ["int8"]}]
        gates = {"slower": "allow", "unfused": 99}
        result = build(write_numbers_recipe(tmp_path, data=data, budget=budget, targets=targets, gates=gates), tmp_path)
        assert result.choice.shipped == ("onnxruntime-cpu-int8",)


def test_an_embedding_is_judged_by_how_far_it_is_from_the_untouched_model_s(tmp_path: Path) -> None:
    budget = [{"metric": "cosine_distance", "max_drop": 0.05, "floor": 0.95}]
    path = write_numbers_recipe(tmp_path, task={"name": "embedding"}, budget=budget)
    onnx.save(numbers(5), tmp_path / "numbers.onnx")
    recipe = read_recipe(path)
    task, rows = recipe.make_task(), np.random.default_rng(1).normal(size=(130, len(COLUMNS)))
    baked = bake(import_model(recipe), recipe.input, task)
    onnx.save(baked.graph, tmp_path / "baked.onnx")
    truths, samples = [Truth(good=True)] * 130, [Sample(str(number), Path()) for number in range(130)]
    before = reference_outputs(baked, recipe.input, rows, lambda _: None)
    sight, said = Sight.of(task, recipe.input, truths, before), verdicts_of(before, task, samples)
    for runtime in ("onnxruntime", "openvino"):
        with load(runtime, tmp_path / "baked.onnx") as engine:
            after = np.concatenate([engine.run({"row": row[None]})["embedding"] for row in rows])
        assert np.linalg.norm(after, axis=1) == pytest.approx(1, abs=1e-5)
        for found, outcome in ((after, Outcome.PASS), (np.roll(after, 1, axis=0), Outcome.FAIL)):
            seen = sight.beside(found)
            ruling = judge(recipe.budget, truths, said, verdicts_of(found, task, samples), evidence=seen.evidence)
            assert ruling.judgements[0].outcome is outcome
            assert ruling.judgements[0].reference == 0
            assert ruling.judgements[0].variant < 1e-6 or outcome is Outcome.FAIL


def test_a_task_of_pictures_refuses_rows(tmp_path: Path) -> None:
    task = {"name": "image-classification", "classes": ["a", "b"], "fit": ["a"]}
    budget = [{"metric": "class_rate", "max_drop": 0.1}]
    with pytest.raises(RecipeError, match="takes no numbers"):
        build(write_numbers_recipe(tmp_path, task=task, budget=budget), tmp_path)
