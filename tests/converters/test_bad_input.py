"""What is wrong with a recipe, its data or its model is said with file, key or line, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from tiny_text import tiny_model
from toy_runtime import distribution

from edgemill_converters.build import build
from edgemill_converters.readers.labels import read_labels
from edgemill_converters.recipe import read_recipe
from edgemill_core.errors import (
    DataError,
    EdgemillError,
    EngineError,
    InputError,
    MissingPartError,
    ModelError,
    RecipeError,
)

Workshop = Callable[..., Path]


def refused(kind: type[EdgemillError], recipe: Path, *parts: str, code: int = 2) -> None:
    with pytest.raises(kind) as caught:
        build(recipe)
    error = caught.value
    assert error.exit_code == code
    for part in parts:
        assert part in str(error), str(error)
    for field in (error.what, error.expected, error.got, error.fix):
        assert field


def edited(recipe: Path, old: str, new: str) -> Path:
    text = recipe.read_text()
    assert old in text
    recipe.write_text(text.replace(old, new, 1))
    return recipe


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"colour": "red"}, ["wrong at 'colour'", "no such key", "keys known here: name, version, task"]),
        ({"folder": "/"}, ["wrong at 'folder'"]),
        ({"input": {"size": [32, 8], "colour": "red"}}, ["wrong at 'input.colour'", "'rgb', 'bgr' or 'grey'"]),
        ({"input": {"size": [32, 8], "flip": 1}}, ["wrong at 'input.flip'", "size, region, resize"]),
        ({"input": {"size": [32]}}, ["input.size"]),
        ({"task": "poetry"}, ["no task called 'poetry'", "text-recognition"]),
        ({"task": {"name": "text-recognition", "alphabet": "AA"}}, ["alphabet", "twice"]),
        ({"version": "1"}, ["wrong at 'version'"]),
        ({"budget": []}, ["budget"]),
        ({"budget": [{"metric": "escape_rate", "max_drop": 5}]}, ["budget.0.max_drop", "less than 1"]),
        ({"budget": [{"metric": "escape_rate", "max_drop": 0.1}]}, ["escapes without overkill", "overkill_rate"]),
        ({"budget": [{"metric": "beauty", "max_drop": 0.1}]}, ["does not have", "exact_rate"]),
        ({"budget": [{"metric": "exact_rate", "max_drop": 0.1}] * 2}, ["two budgets"]),
        ({"targets": [{"runtime": "openvino", "precisions": ["int4"]}]}, ["targets.0.precisions", "int8-dynamic | "]),
        ({"targets": [{"runtime": "openvino", "speed": 1}]}, ["targets.0.speed", "runtime, device, precisions"]),
        ({"data": {"calibration": {}, "judge": {"labels": "x"}}}, ["exactly one of: labels, pictures"]),
        ({"objective": "beauty"}, ["objective"]),
        ({"quantization": {"method": "guess"}}, ["quantization.method", "'percentile', 'entropy' or 'mse'"]),
        ({"quantization": {"percentile": 99.9}}, ["goes with method: percentile", "another one"]),
        ({"targets": [{"runtime": "openvino"}] * 2}, ["'targets'", "twice: openvino-cpu-fp32, openvino-cpu-int8"]),
        ({"targets": [{"runtime": "openvino", "precisions": ["int8", "int8"]}]}, ["twice: openvino-cpu-int8"]),
        ({"targets": [{"runtime": "openvino", "device": "../up"}]}, ["targets.0.device", "'../up'"]),
        ({"input": {"size": [32, 8], "normalise": {"mean": [1, 2]}}}, ["mean takes 1 or 3 numbers, not 2"]),
        ({"input": {"size": [32, 8], "colour": "grey", "normalise": {"std": [1, 2, 3]}}}, ["std takes 1 number"]),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_line(workshop: Workshop, change: dict[str, Any], parts: list[str]) -> None:
    refused(RecipeError, workshop(judge=2, **change), "recipe.yaml, line ", *parts)


def test_a_search_with_nothing_to_search_in_is_refused(workshop: Workshop) -> None:
    targets = [{"runtime": "openvino", "precisions": ["fp32", "int8-weights"]}]
    recipe = workshop(judge=2, quantization={"fallback": True}, targets=targets)
    refused(RecipeError, recipe, "no target asks for int8", "leave out fallback:")


def test_a_missing_key_is_named(workshop: Workshop) -> None:
    refused(RecipeError, edited(workshop(judge=2), "version: 1.0.0\n", ""), "wrong at 'version'", "this key", "nothing")


@pytest.mark.parametrize(
    "content",
    [
        "[1, 2]",
        "a: [",
        "name: x\nname: y\n",
        "",
        "just words",
        b"\xff\xfe\x00",
        "? [a, b]\n: c",
        "d: 2024-99-99",
        pytest.param("[" * 100_000, id="nested"),
        pytest.param("- " * 100_000, id="dashes"),
    ],
)
def test_what_is_no_recipe_is_refused(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(RecipeError, path, "r.yaml")


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    refused(RecipeError, tmp_path / "gone.yaml", "gone.yaml", "no such file")


def test_a_short_recipe_may_name_model_and_task_alone(workshop: Workshop) -> None:
    recipe = read_recipe(workshop(judge=2, model="tiny.onnx"))
    assert recipe.model.file == "tiny.onnx"


def test_an_empty_calibration_set_is_refused(workshop: Workshop) -> None:
    recipe = workshop(judge=2)
    (recipe.parent / "calibration" / "labels.csv").write_text("file,good\n")
    refused(DataError, recipe, "the calibration set is empty", "at least one sample")


def test_labels_that_excel_saved_are_read(workshop: Workshop) -> None:
    folder = workshop(judge=2).parent / "judge"
    text = (folder / "labels.csv").read_text()
    (folder / "labels.csv").write_text(text, encoding="utf-8-sig")
    assert [sample.id for sample in read_labels(folder)] == ["0000.png", "0001.png"]


@pytest.mark.parametrize(("folder", "parts"), [("gone", ["no folder of pictures", "gone"]), ("empty", ["is empty"])])
def test_an_unlabelled_set_must_exist_and_hold_pictures(workshop: Workshop, folder: str, parts: list[str]) -> None:
    recipe = workshop(judge=2, data={"calibration": {"pictures": folder}, "judge": {"labels": "judge"}})
    (recipe.parent / "empty").mkdir()
    refused(DataError, recipe, *parts)


def test_the_judge_asks_for_labels(workshop: Workshop) -> None:
    data = {"calibration": {"labels": "calibration"}, "judge": {"pictures": "judge"}}
    refused(DataError, workshop(judge=2, data=data), "the judge needs labels", "2 of 2 samples")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"name,good\n", ["line 1", "columns are missing"]),
        (b"", ["line 1", "an empty file"]),
        (b"file,good\n0000.png,1\n0001.png,perhaps\n", ["line 3", "not a label", "'perhaps'"]),
        (b"file,good\n,1\n", ["line 2", "not a label"]),
        (b"file,good\n0000.png,1\n0000.png,0\n", ["twice", "0000.png"]),
        (b"file,good\n\xff\xfe.png,1\n", ["UTF-8"]),
        (b"file,good\nmissing.png,1\n", ["not there", "missing.png"]),
    ],
)
def test_wrong_labels_are_refused_with_the_line(workshop: Workshop, content: bytes, parts: list[str]) -> None:
    recipe = workshop(judge=2)
    (recipe.parent / "judge" / "labels.csv").write_bytes(content)
    refused(DataError, recipe, *parts)


def test_missing_labels_are_named(workshop: Workshop) -> None:
    recipe = workshop(judge=2)
    (recipe.parent / "judge" / "labels.csv").unlink()
    refused(DataError, recipe, "no labels at", "judge/labels.csv")


def test_a_picture_that_is_none_is_named(workshop: Workshop) -> None:
    recipe = workshop(judge=2)
    (recipe.parent / "judge" / "0001.png").write_bytes(b"not a picture")
    refused(InputError, recipe, "0001.png", "cannot be decoded")


def test_a_picture_smaller_than_the_region_is_refused(workshop: Workshop) -> None:
    region = {"x": 0, "y": 0, "width": 64, "height": 8}
    recipe = workshop(judge=2, input={"size": [32, 8], "region": region})
    refused(InputError, recipe, "64 x 8 pixels", "32 x 8 pixels")


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"hello, I am no model", b"PK\x03\x04" + b"x" * 200])
def test_what_is_no_onnx_is_refused(workshop: Workshop, content: bytes) -> None:
    recipe = workshop(judge=2)
    (recipe.parent / "tiny.onnx").write_bytes(content)
    refused(ModelError, recipe, "tiny.onnx is not an ONNX model")


def test_a_model_cut_short_is_refused(workshop: Workshop) -> None:
    recipe = workshop(judge=2)
    path = recipe.parent / "tiny.onnx"
    path.write_bytes(path.read_bytes()[:-100])
    refused(ModelError, recipe, "tiny.onnx")


def test_a_model_whose_weights_lie_elsewhere_is_refused(workshop: Workshop) -> None:
    recipe = workshop(judge=2)
    onnx.save(tiny_model(), recipe.parent / "tiny.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    (recipe.parent / "w.bin").unlink()
    refused(ModelError, recipe, "tiny.onnx", "w.bin")


def test_operators_of_a_single_runtime_are_refused(workshop: Workshop) -> None:
    recipe = workshop(judge=2)
    model = tiny_model()
    model.graph.node[1].domain = "com.microsoft"
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, recipe.parent / "tiny.onnx")
    refused(ModelError, recipe, "tiny.onnx", "Conv of com.microsoft")


def test_a_graph_that_is_not_valid_is_refused(workshop: Workshop) -> None:
    recipe = workshop(judge=2)
    model = tiny_model()
    model.graph.node[1].input[0] = "nowhere"
    onnx.save(model, recipe.parent / "tiny.onnx")
    refused(ModelError, recipe, "not valid")


@pytest.mark.parametrize("opset", [3, 99])
def test_an_opset_that_nobody_reads_is_refused(workshop: Workshop, opset: int) -> None:
    recipe = workshop(judge=2)
    onnx.save(tiny_model(opset), recipe.parent / "tiny.onnx")
    refused(ModelError, recipe, f"opset {opset}", "opset 7 to 23")


@pytest.mark.parametrize(
    ("model", "kind", "parts", "code"),
    [
        ({"file": "gone.onnx"}, ModelError, ["no model at", "gone.onnx"], 2),
        ({"file": "recipe.yaml"}, ModelError, ["nobody here imports .yaml", ".onnx"], 2),
        ({"file": "tiny.onnx"}, ModelError, ["needs its characters", "letters"], 2),
        ({"file": "tiny.onnx", "classes": "words"}, ModelError, ["no 'words'", "letters"], 2),
        ({"package": "no_such_package", "file": "x"}, MissingPartError, ["no_such_package", "pip install"], 3),
    ],
)
def test_a_model_that_cannot_be_used_is_refused(
    workshop: Workshop, model: dict[str, str], kind: type[EdgemillError], parts: list[str], code: int
) -> None:
    refused(kind, workshop(judge=2, model=model), *parts, code=code)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"task": {"name": "text-recognition", "alphabet": "ABC"}}, ["every character", "'C'"]),
        ({"input": {"size": [32, 8], "colour": "grey"}}, ["does not fit the model", "3", "[1, 1, 8, 32]"]),
        ({"input": {"size": [32, 8], "layout": "nhwc"}}, ["does not fit the model"]),
    ],
)
def test_a_recipe_that_does_not_fit_its_model_is_refused(
    workshop: Workshop, change: dict[str, Any], parts: list[str]
) -> None:
    refused(ModelError, workshop(judge=2, **change), *parts)


def test_a_vocabulary_of_the_wrong_length_is_refused(workshop: Workshop) -> None:
    recipe = workshop(judge=2)
    model = tiny_model()
    model.metadata_props[0].value = "A\nB\nC\nD"
    onnx.save(model, recipe.parent / "tiny.onnx")
    refused(ModelError, recipe, "vocabulary does not fit", "2 or 1 characters", "4 characters")


@pytest.mark.parametrize(
    ("runtime", "device", "parts"),
    [("openvino", "NPU", ["'NPU'", "this machine offers CPU"]), ("onnxruntime", "CUDA", ["'CUDA'", "CPUExecution"])],
)
def test_a_device_that_is_not_there_ends_the_build_as_a_missing_part(
    workshop: Workshop, runtime: str, device: str, parts: list[str]
) -> None:
    targets = [{"runtime": runtime, "device": device, "precisions": ["fp32"]}]
    refused(MissingPartError, workshop(judge=2, targets=targets), *parts, code=3)


def test_int8_for_a_runtime_without_a_dialect_is_refused(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = workshop(judge=2, targets=[{"runtime": "toy"}])
    distribution(recipe.parent)
    monkeypatch.syspath_prepend(recipe.parent)
    refused(RecipeError, recipe, "int8 cannot be rendered for runtime 'toy'", "precisions: [fp32, fp16, int8-weights]")


@pytest.mark.parametrize("kind", ["file", "others", "in the way"])
def test_nothing_but_a_bundle_is_replaced(workshop: Workshop, tmp_path: Path, kind: str) -> None:
    recipe, out = workshop(judge=2), tmp_path / "out"
    place = out if kind == "file" else out / "tiny-1.0.0"
    place.parent.mkdir(exist_ok=True)
    if kind == "others":
        place.mkdir()
        (place / "thesis.txt").write_text("ten years")
    else:
        place.write_text("ten years")
    with pytest.raises(InputError) as caught:
        build(recipe, out)
    assert caught.value.exit_code == 2
    assert str(place) in str(caught.value)
    assert "--out" in str(caught.value)
    assert "ten years" in (place / "thesis.txt" if kind == "others" else place).read_text()
    assert not list(tmp_path.rglob(".edgemill-build*"))


def test_an_unknown_runtime_is_refused(workshop: Workshop) -> None:
    refused(EngineError, workshop(judge=2, targets=[{"runtime": "abacus"}]), "no runtime called 'abacus'", "openvino")
