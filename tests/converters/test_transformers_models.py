"""Hugging Face folders through optimum: compared with transformers itself; no code of the folder runs."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator
from tiny_tensors import LENGTH, WORDS, write_words_recipe

from edgemill_converters.importers import ImportedModel, import_model
from edgemill_converters.recipe import read_recipe
from edgemill_core.errors import ModelError

os.environ["HF_HUB_OFFLINE"] = "1"
torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'edgemill[transformers]'")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    transformers = pytest.importorskip("transformers", reason="pip install 'edgemill[transformers]'")
    pytest.importorskip("optimum.exporters.onnx", reason="pip install 'edgemill[transformers]'")
pytestmark = pytest.mark.filterwarnings("ignore")

KINDS = {name: {"shape": [1, LENGTH], "dtype": "int64"} for name in ("input_ids", "attention_mask", "token_type_ids")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=WORDS,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=LENGTH,
        num_labels=2,
    )
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


def imported(folder: Path, **more: Any) -> ImportedModel:
    model = {"transformers": folder.name, **more}
    return import_model(read_recipe(write_words_recipe(folder.parent, model=model, input={"tensors": KINDS})))


def test_a_folder_is_what_transformers_makes_of_it(folder: Path) -> None:
    found = imported(folder)
    assert found.framework == f"transformers {transformers.__version__}"
    assert "old exporter" in found.exporter
    assert found.native is not None
    rng = np.random.default_rng(0)
    given = {"input_ids": rng.integers(0, WORDS, (1, LENGTH)), "attention_mask": np.ones((1, LENGTH), np.int64)}
    given["token_type_ids"] = np.zeros((1, LENGTH), np.int64)
    given["attention_mask"][0, 5:] = 0
    expected = found.native(given)
    assert [one.shape for one in expected] == [(1, 2)]
    ours = ReferenceEvaluator(found.proto).run(None, given)
    np.testing.assert_allclose(ours[0], expected[0], atol=1e-5)


def test_another_task_takes_another_part(folder: Path) -> None:
    found = imported(folder, task="feature-extraction")
    assert found.native is not None
    assert [value.name for value in found.proto.graph.output] == ["last_hidden_state"]


def test_code_of_the_folder_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w')")
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "evil.Evil"}}))
    with pytest.raises(ModelError, match=r"config\.json") as told:
        imported(folder)
    assert "auto_map" in told.value.got
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_vectors_of_tokens_are_pooled(folder: Path, pooling: str) -> None:
    found = imported(folder, task="feature-extraction", pooling=pooling)
    assert found.native is not None
    given = {name: np.ones((1, LENGTH), np.int64) for name in KINDS}
    given["attention_mask"][0, 4:] = 0
    (expected,) = found.native(given)
    model = transformers.BertModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        tokens = model(**{name: torch.from_numpy(value) for name, value in given.items()}).last_hidden_state[0].numpy()
    np.testing.assert_allclose(expected[0], tokens[:4].mean(0) if pooling == "mean" else tokens[0], atol=1e-6)
    (ours,) = ReferenceEvaluator(found.proto).run(None, given)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


class Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_among_the_weights_does_not_run(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"classifier.bias": Touch(folder / "ran")}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="bert"):
        imported(folder)
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(("file", "keep"), [("model.safetensors", 5000), ("model.safetensors", 4), ("config.json", 9)])
def test_a_damaged_folder_is_named(folder: Path, file: str, keep: int) -> None:
    (folder / file).write_bytes((folder / file).read_bytes()[:keep])
    with pytest.raises(ModelError, match="bert"):
        imported(folder)


def test_a_header_that_claims_more_than_there_is(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes((1 << 40).to_bytes(8, "little") + whole[8:])
    with pytest.raises(ModelError, match="bert"):
        imported(folder)


def test_without_architectures_it_asks_for_a_task(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["BertForDreams"]}))
    with pytest.raises(ModelError) as told:
        imported(folder)
    assert "write task:" in told.value.fix
