"""PyTorch modules, programs and weights: compared with PyTorch itself, and built; no pickle is opened unasked."""

from __future__ import annotations

import importlib
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator
from tiny_tensors import LENGTH, write_numbers_recipe, write_words_recipe

from edgemill_converters.build import build
from edgemill_converters.importers import ImportedModel, import_model
from edgemill_converters.recipe import read_recipe
from edgemill_converters.result import BuildResult
from edgemill_core.errors import MissingPartError, ModelError
from edgemill_runtimes.pipeline import open_pipeline

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'edgemill[torch]'")

SOURCE = """
import torch

class Rows(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.first, self.drop = torch.nn.Linear(3, 8), torch.nn.Dropout(0.5)
        self.second = torch.nn.Linear(8, 1)

    def forward(self, x):
        return self.second(self.drop(torch.relu(self.first(x))))

class Words(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.table, self.last = torch.nn.Embedding(40, 16), torch.nn.Linear(16, 2)

    def forward(self, mask, ids):
        some = self.table(ids) * mask[..., None]
        mean = some.sum(1) / mask.sum(1, keepdim=True)
        return {"mean": mean, "logits": self.last(mean)}

class Chance(Rows):
    def forward(self, x):
        return super().forward(x) + torch.rand(1)

def rows(): return Rows()
def words(): return Words()
def chance(): return Chance()
def branching():
    class Branching(Rows):
        def forward(self, x):
            return super().forward(x) if float(x.sum()) > 0 else x[:, :1]
    return Branching()
"""
TARGETS = [{"runtime": "onnxruntime", "precisions": ["fp32"]}]
KINDS = {"ids": {"shape": [1, LENGTH], "dtype": "int64"}, "mask": {"shape": [1, LENGTH], "dtype": "int64"}}


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def rows_recipe(folder: Path, model: Any, **changes: Any) -> Path:
    (folder / "nets.py").write_text(SOURCE)
    return write_numbers_recipe(folder, model=model, targets=TARGETS, **changes)


def imported(recipe: Path) -> ImportedModel:
    return import_model(read_recipe(recipe))


@pytest.fixture
def nets(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    exec(SOURCE, found)
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    folder = tmp_path_factory.mktemp("rows")
    return build(rows_recipe(folder, "nets:rows"), folder)


class TestBuilding:
    def test_a_function_gives_a_module_and_torch_is_the_reference(
        self, built: BuildResult, nets: dict[str, Any]
    ) -> None:
        assert built.imported is not None
        assert built.imported.framework == f"torch {torch.__version__}"
        assert "dynamo=True" in built.imported.exporter
        parity = built.imported.parity
        assert parity is not None
        assert (parity.samples, parity.flips) == (200, None)
        assert 0 < parity.difference < 1e-5
        assert built.bundle is not None
        row = {"torque": 0.5, "speed": -1.0, "wear": 2.0}
        with torch.inference_mode():
            expected = float(nets["Rows"]().eval()(torch.tensor([[0.5, -1.0, 2.0]])))
        with open_pipeline(built.bundle, "onnxruntime") as pipeline:
            assert pipeline(row).reading["values"] == {"hours": pytest.approx(expected, rel=1e-4)}

    def test_report_and_records_say_how_it_came(self, built: BuildResult) -> None:
        assert built.bundle is not None
        page = built.report.read_text()
        assert "torch.onnx.export(dynamo=True)" in page
        assert "largest difference from the framework" in page
        records = (built.bundle.folder / "measurements.json").read_text()
        assert '"parity"' in records

    def test_the_same_again_is_read_back(self, built: BuildResult) -> None:
        recipe = built.report.parent / "recipe.yaml"
        again = build(recipe, recipe.parent)
        assert set(again.cached) == set(again.seconds)
        assert again.bundle is not None
        assert built.bundle is not None
        assert again.bundle.manifest.content_digest == built.bundle.manifest.content_digest

    def test_several_inputs_go_by_name_and_one_output_is_taken(self, tmp_path: Path) -> None:
        (tmp_path / "nets.py").write_text(SOURCE)
        model = {"torch": "nets:words", "output": "logits"}
        budget = [{"metric": "class_rate", "max_drop": 0.05}]  # what this one names rightly is chance
        changes = {"model": model, "input": {"tensors": KINDS}, "targets": TARGETS, "budget": budget}
        result = build(write_words_recipe(tmp_path, **changes), tmp_path)
        assert result.imported is not None
        assert result.imported.parity is not None
        assert [one.name for one in result.imported.parity.outputs] == ["logits"]
        assert result.imported.parity.flips == 0


class TestForms:
    def test_program_weights_and_whole_module_are_one_model(self, tmp_path: Path, nets: dict[str, Any]) -> None:
        module = nets["Rows"]().eval()
        with torch.no_grad():
            module.first.bias += 1  # so that it is the weights of the file that count
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.export.save(torch.export.export(module, (torch.zeros(1, 3),)), tmp_path / "net.pt2")
            torch.save(torch.nn.Sequential(module.first, torch.nn.ReLU(), module.second), tmp_path / "whole.pt")
        torch.save({"state_dict": module.state_dict(), "epoch": 3}, tmp_path / "net.pth")
        models = [
            "net.pt2",
            {"torch": "nets:rows", "weights": "net.pth"},
            {"torch": "nets:rows", "weights": "net.pth", "exporter": "torchscript"},
            {"file": "whole.pt", "trust": True},
        ]
        rows = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
        expected = module(torch.from_numpy(rows)).detach().numpy()
        for model in models:
            found = imported(rows_recipe(tmp_path, model))
            assert found.native is not None
            (name,) = [value.name for value in found.proto.graph.input]
            np.testing.assert_allclose(found.native({name: rows})[0], expected, atol=1e-6)
            (ours,) = ReferenceEvaluator(found.proto).run(None, {name: rows[:1]})
            np.testing.assert_allclose(ours, expected[:1], atol=1e-5)
            assert found.pickled == (model == models[3])
        assert "old exporter" in imported(rows_recipe(tmp_path, models[2])).exporter

    def test_nothing_of_this_machine_is_left_in_the_graph(self, tmp_path: Path) -> None:
        found = imported(rows_recipe(tmp_path, "nets:rows"))
        assert str(tmp_path).encode() not in found.proto.SerializeToString()
        assert not any(node.metadata_props for node in found.proto.graph.node)

    def test_a_tensorrt_target_asks_for_an_opset_that_it_reads(self, tmp_path: Path) -> None:
        found = imported(rows_recipe(tmp_path, "nets:rows"))
        assert [opset.version for opset in found.proto.opset_import if opset.domain == ""] == [18]


class TestRefusals:
    @pytest.mark.parametrize(
        ("model", "parts"),
        [
            ("nets:chance", ["does not compute what the model's framework computes", "depends on", "chance"]),
            ("nets:branching", ["PyTorch cannot translate", "exporter: torchscript"]),
            ({"torch": "nets:words"}, ["does not take the recipe's input", "features: [1, 3]"]),
        ],
    )
    def test_what_is_not_the_same_or_not_to_be_translated(self, tmp_path: Path, model: Any, parts: list[str]) -> None:
        with pytest.raises(ModelError) as told:
            build(rows_recipe(tmp_path, model), tmp_path)
        for part in parts:
            assert part in str(told.value)

    @pytest.mark.parametrize("model", ["evil.pt", "evil.pkl", "evil.pt2", {"torch": "nets:rows", "weights": "evil.pt"}])
    def test_a_malicious_pickle_does_not_run(self, tmp_path: Path, model: Any) -> None:
        ran = tmp_path / "ran"
        torch.save(Evil(ran), tmp_path / "evil.pt")
        (tmp_path / "evil.pkl").write_bytes((tmp_path / "evil.pt").read_bytes())
        self._evil_program(tmp_path / "evil.pt2", (tmp_path / "evil.pt").read_bytes())
        with pytest.raises(ModelError) as told:
            imported(rows_recipe(tmp_path, model))
        assert "evil" in told.value.what
        assert not ran.exists()

    def test_trusted_it_runs_and_is_no_model(self, tmp_path: Path) -> None:
        torch.save(Evil(tmp_path / "ran"), tmp_path / "evil.pt")
        with pytest.raises(ModelError, match=r"evil\.pt"):
            imported(rows_recipe(tmp_path, {"file": "evil.pt", "trust": True}))
        assert (tmp_path / "ran").exists()

    def test_trusted_a_class_beside_the_recipe_is_to_be_given_by_a_function(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recipe = rows_recipe(tmp_path, {"file": "own.pt", "trust": True})
        (tmp_path / "ownnets.py").write_text("class Net: ...\n")
        with monkeypatch.context() as patch:
            patch.syspath_prepend(tmp_path)
            torch.save(importlib.import_module("ownnets").Net(), tmp_path / "own.pt")
        del sys.modules["ownnets"]
        with pytest.raises(MissingPartError, match="beside the recipe") as told:
            imported(recipe)
        assert 'model: "module:function"' in told.value.fix

    def _evil_program(self, path: Path, pickled: bytes) -> None:
        """A program whose sample inputs are the pickle: what PyTorch by itself falls back to opening."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.export.save(torch.export.export(torch.nn.Linear(3, 1), (torch.zeros(1, 3),)), path)
        with zipfile.ZipFile(path) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in entries.items():
                archive.writestr(name, pickled if "sample_inputs" in name else content)

    @pytest.mark.parametrize("name", ["net.pt2", "net.pt", "net.pth"])
    def test_a_file_that_was_cut_off_is_named(self, tmp_path: Path, name: str) -> None:
        path = tmp_path / name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if name == "net.pt2":
                torch.export.save(torch.export.export(torch.nn.Linear(3, 1), (torch.zeros(1, 3),)), path)
            else:
                torch.save(torch.nn.Linear(3, 1).state_dict(), path)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        model = {"torch": "nets:rows", "weights": name} if name == "net.pth" else name
        with pytest.raises(ModelError, match=name.replace(".", r"\.")):
            imported(rows_recipe(tmp_path, model))

    def test_weights_alone_say_what_is_lacking(self, tmp_path: Path, nets: dict[str, Any]) -> None:
        torch.save(nets["Rows"]().state_dict(), tmp_path / "net.pt")
        with pytest.raises(ModelError, match="cannot be imported") as told:
            imported(rows_recipe(tmp_path, "net.pt"))
        assert "weights: net.pt" in told.value.fix

    def test_weights_of_another_module_are_refused(self, tmp_path: Path) -> None:
        torch.save(torch.nn.Linear(3, 1).state_dict(), tmp_path / "other.pt")
        with pytest.raises(ModelError, match=r"other\.pt") as told:
            imported(rows_recipe(tmp_path, {"torch": "nets:rows", "weights": "other.pt"}))
        assert "first.weight" in told.value.got
