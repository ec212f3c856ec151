"""Any model in: what gives it, what it is made of, what is refused unopened; all without further libraries."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from tiny_tensors import numbers, write_numbers_recipe

from edgemill_converters import parity
from edgemill_converters.bake import BakedModel, first_output
from edgemill_converters.build import build
from edgemill_converters.importers import import_model, locate_model
from edgemill_converters.importers.base import one_by_one
from edgemill_converters.importers.saved_model import reaching_out
from edgemill_converters.importers.versions import Readable, readable_by
from edgemill_converters.model_source import Pooling
from edgemill_converters.parity_check import reference_beside_graph
from edgemill_converters.passes.fit_versions import FitVersions
from edgemill_converters.passes.pool_tokens import PoolTokens, pooled
from edgemill_converters.recipe import Target, read_recipe
from edgemill_core.errors import EdgemillError, MissingPartError, ModelError, RecipeError
from edgemill_core.row_input import RowInput
from edgemill_core.verdict import Decision, Verdict

MAKES_ONNX = "import onnx\nfrom layers import LAST\ndef make(): return onnx.load('{path}')\ndef other(): return 3\n"


class Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


TARGETS = [{"runtime": "onnxruntime", "precisions": ["fp32"]}]


def by_function(folder: Path, function: str = "made:make", **more: Any) -> Path:
    model = {"function": function, **more} if more else function
    recipe = write_numbers_recipe(folder, model=model, targets=TARGETS)
    (folder / "made.py").write_text(MAKES_ONNX.format(path=folder / "numbers.onnx"))
    (folder / "layers.py").write_text("LAST = 1\n")
    return recipe


def refused(kind: type[EdgemillError], recipe: Path, *parts: str) -> None:
    with pytest.raises(kind) as told:
        import_model(read_recipe(recipe))
    for part in parts:
        assert part in str(told.value), str(told.value)


class TestFunctions:
    def test_a_graph_from_a_function_of_the_recipes_folder_is_built(self, tmp_path: Path) -> None:
        result = build(by_function(tmp_path), tmp_path)
        assert result.imported is not None
        assert (result.imported.framework, result.imported.parity) == ("ONNX", None)
        assert result.model["file"] == "made:make"
        assert not list(tmp_path.rglob("__pycache__"))

    def test_its_own_sources_and_what_they_import_there_are_the_models_contents(self, tmp_path: Path) -> None:
        (tmp_path / "table.bin").write_bytes(b"1")
        recipe = by_function(tmp_path, reads=["table.bin"])
        (tmp_path / "unrelated.py").write_text("")
        contents = locate_model(read_recipe(recipe)).contents
        assert [name for name, _ in contents] == ["source made.py", "source layers.py", "reads table.bin"]

    def test_what_is_installed_and_imported_there_counts_by_its_version(self, tmp_path: Path) -> None:
        recipe = by_function(tmp_path)
        (tmp_path / "layers.py").write_text(
            "import os, absent_module\ndef late():\n    from yaml.loader import Loader\n"
        )
        assert locate_model(read_recipe(recipe)).parts == ("PyYAML", "onnx")
        assert locate_model(read_recipe(write_numbers_recipe(tmp_path))).parts == ()

    def test_a_folder_that_it_reads_counts_whole(self, tmp_path: Path) -> None:
        (tmp_path / "tables" / "deep").mkdir(parents=True)
        for name in ("tables/a.bin", "tables/deep/b.bin"):
            (tmp_path / name).write_bytes(b"1")
        contents = locate_model(read_recipe(by_function(tmp_path, reads=["tables"]))).contents
        assert contents[2:] == tuple((f"reads {n}", tmp_path / n) for n in ("tables/a.bin", "tables/deep/b.bin"))

    @pytest.mark.parametrize("reads", ["numbers.onnx", "nets"])
    def test_a_path_that_it_gives_is_to_be_known(self, tmp_path: Path, reads: str) -> None:
        module = f"gives_of_{reads.partition('.')[0]}"
        recipe = by_function(tmp_path, f"{module}:make")
        (tmp_path / "nets").mkdir()
        (tmp_path / "nets" / "n.onnx").write_bytes((tmp_path / "numbers.onnx").read_bytes())
        name = reads if reads.endswith("onnx") else "nets/n.onnx"
        (tmp_path / f"{module}.py").write_text(f"def make(): return {name!r}\n")
        refused(ModelError, recipe, name, "add it under reads:")
        by_function(tmp_path, f"{module}:make", reads=[reads])
        assert import_model(read_recipe(recipe)).proto.graph.node

    def test_weights_beside_a_path_that_it_gives_are_to_be_known(self, tmp_path: Path) -> None:
        recipe = by_function(tmp_path, "gives_apart:make", reads=["apart.onnx"])
        (tmp_path / "gives_apart.py").write_text("def make(): return 'apart.onnx'\n")
        apart = {"save_as_external_data": True, "location": "apart.weights", "size_threshold": 0}
        onnx.save(two_outputs(), tmp_path / "apart.onnx", **apart)
        refused(ModelError, recipe, "apart.weights does not", "add it under reads:")

    def test_an_installed_package_counts_whole(self, tmp_path: Path) -> None:
        located = locate_model(read_recipe(write_numbers_recipe(tmp_path, model="yaml.loader:make")))
        assert {"source loader.py", "source scanner.py"} <= {name for name, _ in located.contents}

    @pytest.mark.parametrize(
        ("function", "parts"),
        [
            ("made:other", ["nobody here imports such an object", "builtins.int"]),
            ("made:nothing", ["cannot be imported", "no attribute 'nothing'"]),
            ("broken:make", ["cannot be imported", "SyntaxError"]),
            ("raising:make", ["failed", "KeyError: 'x'", "raising.py, line 2"]),
            ("absent_module:make", ["there is no module absent_module"]),
        ],
    )
    def test_what_goes_wrong_in_it_is_said_with_the_line(self, tmp_path: Path, function: str, parts: list[str]) -> None:
        recipe = by_function(tmp_path, function)
        (tmp_path / "broken.py").write_text("def make(:\n")
        (tmp_path / "raising.py").write_text("def make():\n    return {}['x']\n")
        refused(ModelError, recipe, *parts)


class TestRecipes:
    @pytest.mark.parametrize(
        ("model", "said"),
        [
            ({}, "name exactly one of: file, function, torch, transformers"),
            ({"file": "a.onnx", "function": "a:b"}, "name exactly one of"),
            ({"file": "a.onnx", "weights": "a.pt"}, "weights: goes with torch:"),
            ({"function": "a:b", "weights": "a.pt"}, "weights: goes with torch:"),
            ({"file": "a.onnx", "task": "x"}, "task: goes with transformers:"),
            ({"file": "a.onnx", "reads": ["x"]}, "reads: goes with function: or torch:"),
            ({"function": "not a function"}, "model.function"),
            ({"file": "a.onnx", "exporter": "guess"}, "model.exporter"),
        ],
    )
    def test_what_does_not_go_together_is_refused(self, tmp_path: Path, model: Any, said: str) -> None:
        with pytest.raises(RecipeError) as told:
            read_recipe(write_numbers_recipe(tmp_path, model=model))
        assert said in str(told.value)


class TestMissingParts:
    @pytest.mark.parametrize(
        ("model", "module", "extra"),
        [
            ("net.pt2", "torch", "torch"),
            ("net.pt", "torch", "torch"),
            ({"torch": "made:make", "weights": "net.pt"}, "torch", "torch"),
            ("net.keras", "keras", "keras"),
            ({"transformers": "bert"}, "optimum", "transformers"),
            ("saved", "tensorflow", "tensorflow"),
        ],
    )
    def test_the_extra_is_named(self, tmp_path: Path, model: Any, module: str, extra: str) -> None:
        recipe = by_function(tmp_path)
        write_numbers_recipe(tmp_path, model=model)
        for name in ("net.pt2", "net.pt", "net.keras"):
            with zipfile.ZipFile(tmp_path / name, "w") as archive:
                archive.writestr("net/data.pkl", b"")
        for folder, file in (("saved", "saved_model.pb"), ("bert", "config.json")):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / file).write_text('{"architectures": ["BertModel"]}')
        try:
            __import__(module)
        except ImportError:
            refused(MissingPartError, recipe, f"pip install 'edgemill[{extra}]'")
        else:
            pytest.skip(f"{module} is installed")


class TestWhatIsNotOpened:
    @pytest.mark.parametrize("name", ["evil.pkl", "evil.pickle", "evil.joblib"])
    def test_a_pickle_runs_only_if_the_recipe_trusts_it(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_bytes(pickle.dumps(Touch(tmp_path / "ran")))
        refused(ModelError, write_numbers_recipe(tmp_path, model=name), name, "trust: true", "it was not")
        assert not (tmp_path / "ran").exists()
        if name.endswith("joblib"):
            return
        refused(ModelError, write_numbers_recipe(tmp_path, model={"file": name, "trust": True}), "such an object")
        assert (tmp_path / "ran").exists()

    def test_a_trusted_model_says_that_it_was_a_pickle(self, tmp_path: Path) -> None:
        (tmp_path / "numbers.pkl").write_bytes(pickle.dumps(numbers(1)))
        model = {"file": "numbers.pkl", "trust": True}
        result = build(write_numbers_recipe(tmp_path, model=model, targets=TARGETS), tmp_path)
        assert result.imported is not None
        assert result.imported.pickled
        assert "the recipe says trust: true" in result.report.read_text()

    def test_a_trusted_pickle_of_a_class_beside_the_recipe_says_the_way_out(self, tmp_path: Path) -> None:
        recipe = write_numbers_recipe(tmp_path, model={"file": "net.pkl", "trust": True})
        (tmp_path / "net.pkl").write_bytes(b"cownnets\nNet\n.")
        refused(MissingPartError, recipe, "net.pkl", "pip install ownnets")
        (tmp_path / "ownnets.py").write_text("class Net: ...\n")
        refused(MissingPartError, recipe, "net.pkl", "beside the recipe", 'model: "module:function"')

    def test_a_trusted_pickle_that_was_cut_off_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "cut.pkl").write_bytes(pickle.dumps(numbers(1))[:40])
        refused(ModelError, write_numbers_recipe(tmp_path, model={"file": "cut.pkl", "trust": True}), "cut.pkl")

    @pytest.mark.parametrize("name", ["net.pt2", "net.keras", "net.pt"])
    def test_an_archive_that_would_unpack_to_far_more_is_not_unpacked(self, tmp_path: Path, name: str) -> None:
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("net/data.pkl", bytes(1 << 25))
        assert (tmp_path / name).stat().st_size < 1 << 16
        refused(ModelError, write_numbers_recipe(tmp_path, model=name), name, "would unpack to 33,554,432")

    @pytest.mark.parametrize("name", ["net.pt2", "net.keras"])
    def test_an_archive_that_was_cut_off_is_named(self, tmp_path: Path, name: str) -> None:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("net/data.pkl", bytes(1000))
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:500])
        refused(ModelError, write_numbers_recipe(tmp_path, model=name), name, "500 bytes")

    def test_torchscript_says_the_way_out(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
            archive.writestr("net/code/__torch__.py", "")
        refused(ModelError, write_numbers_recipe(tmp_path, model="net.pt"), "TorchScript", "torch.export.save")

    def test_an_ir_is_refused_with_the_way_out(self, tmp_path: Path) -> None:
        (tmp_path / "net.xml").write_text("<net/>")
        refused(ModelError, write_numbers_recipe(tmp_path, model="net.xml"), "net.xml", "was converted from")

    def test_a_hugging_face_folder_is_to_be_named_so(self, tmp_path: Path) -> None:
        (tmp_path / "bert").mkdir()
        (tmp_path / "bert" / "config.json").write_text("{}")
        refused(ModelError, write_numbers_recipe(tmp_path, model="bert"), "a folder", "{transformers: …}")

    def test_code_of_a_hugging_face_folder(self, tmp_path: Path) -> None:
        (tmp_path / "bert").mkdir()
        (tmp_path / "bert" / "config.json").write_text('{"auto_map": {}}')
        refused(ModelError, write_numbers_recipe(tmp_path, model={"transformers": "bert"}), "auto_map", "config.json")


def two_outputs(opset: int = 17, ir: int = 8) -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(3, 1)).astype("f"), "v": rng.normal(size=(3, 2)).astype("f")}
    nodes = [helper.make_node("MatMul", ["x", name], [out]) for name, out in (("w", "y"), ("v", "z"))]
    graph = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [
            helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 2]),
            helper.make_tensor_value_info("y", 1, ["n", 1]),
        ],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)


REACHING = [
    "ReadFile",
    "WriteFile",
    "MatchingFiles",
    "PyFunc",
    "PyFuncStateless",
    "EagerPyFunc",
    "LoadDataset",
    "PrintV2",
    "DebugIdentity",
    "DebugIdentityV2",
    "DebugIdentityV3",
    "DebugNumericSummaryV2",
    "CreateSummaryFileWriter",
    "CreateSummaryDbWriter",
    "SaveDataset",
    "SaveDatasetV2",
    "DatasetToTFRecord",
    "TextLineDataset",
    "TFRecordDataset",
    "TFRecordDatasetV2",
    "FixedLengthRecordDataset",
    "FixedLengthRecordDatasetV2",
    "TextLineReaderV2",
    "WholeFileReader",
    "ReaderReadV2",
    "SnapshotDatasetV2",
    "CacheDatasetV2",
]
COMPUTING = [
    "ReadVariableOp",
    "MatMul",
    "Placeholder",
    "NoOp",
    "SaveV2",
    "RestoreV2",
    "MergeV2Checkpoints",
    "ShardedFilename",
    "VarHandleOp",
    "StatefulPartitionedCall",
    "HashTableV2",
    "BiasAdd",
    "Identity",
]
"""What TensorFlow writes into a plain model, its saver included."""


@pytest.mark.parametrize("name", REACHING)
def test_operations_of_tensorflow_that_reach_out_are_known(name: str) -> None:
    assert reaching_out([*COMPUTING, name]) == [name]


class TestPooling:
    @staticmethod
    def tokens(mask: str) -> onnx.ModelProto:
        values = [helper.make_tensor_value_info(name, kind, [1, 4]) for name, kind in (("x", 1), (mask, 7))]
        made = helper.make_tensor_value_info("tokens", TensorProto.FLOAT, [1, 4, 1])
        node = helper.make_node("Unsqueeze", ["x", "last"], ["tokens"])
        weights = [numpy_helper.from_array(np.array([2]), "last")]
        graph = helper.make_graph([node], "tokens", values, [made], weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def test_the_first_needs_no_mask(self) -> None:
        found = PoolTokens(Pooling.FIRST, "tokens", "mask")(self.tokens("other"))
        feeds = {"x": np.array([[3, 4, 5, 6]], np.float32)}
        expected = pooled(Pooling.FIRST, feeds["x"][..., None], feeds, "mask")
        given = {**feeds, "other": np.ones((1, 4), np.int64)}
        np.testing.assert_array_equal(ReferenceEvaluator(found).run(None, given)[0], expected)
        assert expected.tolist() == [[3]]

    def test_the_mean_without_a_mask_is_refused(self) -> None:
        with pytest.raises(ModelError, match="pooling: mean") as told:
            PoolTokens(Pooling.MEAN, "tokens", "mask")(self.tokens("other"))
        assert told.value.got == "x, other"
        found = PoolTokens(Pooling.MEAN, "tokens", "mask")(self.tokens("mask"))
        feeds = {"x": np.array([[3, 4, 5, 6]], np.float32), "mask": np.array([[1, 1, 0, 0]])}
        np.testing.assert_allclose(ReferenceEvaluator(found).run(None, feeds)[0], [[3.5]])


class TestPasses:
    def test_one_output_is_kept_with_what_it_needs(self, tmp_path: Path) -> None:
        onnx.save(two_outputs(), tmp_path / "two.onnx")
        recipe = write_numbers_recipe(tmp_path, model={"file": "two.onnx", "output": "y"})
        found = import_model(read_recipe(recipe)).proto
        assert [tensor.name for tensor in found.graph.initializer] == ["w"]
        x = np.ones((2, 3), np.float32)
        np.testing.assert_array_equal(
            ReferenceEvaluator(found).run(None, {"x": x})[0], ReferenceEvaluator(two_outputs()).run(["y"], {"x": x})[0]
        )
        write_numbers_recipe(tmp_path, model={"file": "two.onnx", "output": "q"})
        refused(ModelError, recipe, "expected: z | y", "output: under model:")

    @pytest.mark.parametrize(("opset", "ir"), [(17, 8), (22, 10), (23, 13)])
    def test_versions_are_brought_down(self, opset: int, ir: int) -> None:
        found = FitVersions(Readable(21, 5, 10))(two_outputs(opset, ir))
        assert found.opset_import[0].version == min(opset, 21)
        assert found.ir_version == min(ir, 10)

    def test_what_cannot_be_brought_down_is_said(self) -> None:
        model = helper.make_model(
            helper.make_graph(
                [helper.make_node("Swish", ["x"], ["y"])],
                "swish",
                [helper.make_tensor_value_info("x", 1, [1, 3])],
                [helper.make_tensor_value_info("y", 1, [1, 3])],
            ),
            opset_imports=[helper.make_opsetid("", 24)],
            ir_version=10,
        )
        with pytest.raises(ModelError, match="newer than"):
            FitVersions(Readable(21, 5, 10))(model)

    def test_types_that_a_version_brought_are_said(self) -> None:
        graph = two_outputs(21, 13)
        graph.graph.initializer.append(helper.make_tensor("f4", TensorProto.FLOAT4E2M1, [2], b"\x00", raw=True))
        with pytest.raises(ModelError, match="newer than") as told:
            FitVersions(Readable(21, 5, 10))(graph)
        assert "IR version 11" in told.value.got

    def test_the_least_that_a_target_reads_counts(self) -> None:
        targets = [Target(runtime=name) for name in ("onnxruntime", "openvino", "tensorrt")]
        assert readable_by(targets).opset == 20
        assert readable_by([*targets, Target(runtime="somebody-elses")]).opset == 17


ROWS = RowInput(features=("a", "b", "c"))


class TestParity:
    @staticmethod
    def compare(change: Any, count: int = 10) -> Any:
        graph = two_outputs()
        graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
        model = ReferenceEvaluator(graph)
        baked = BakedModel(graph, graph, first_output, "", one_by_one(lambda f: change(model.run(None, f)), ROWS))
        rows = np.random.default_rng(1).normal(size=(count, 3))
        assert baked.native is not None
        return reference_beside_graph(baked, baked.native, ROWS, rows, lambda _: None)

    def test_differences_are_those_of_each_output(self) -> None:
        found = self.compare(lambda found: [found[0], found[1] + np.float32(1e-5)])
        outputs = found.outputs
        assert [one.name for one in outputs] == ["z", "y"]
        assert outputs[0].difference < 1e-6
        assert outputs[1].difference == pytest.approx(1e-5, rel=0.1)
        assert found.read.shape == found.reference.shape == (10, 2)
        np.testing.assert_allclose(found.read, found.reference, atol=1e-6)

    def test_of_many_samples_some_are_compared(self) -> None:
        seen = 0

        def off_at_one(found: list[Any]) -> list[Any]:
            nonlocal seen
            seen += 1
            return [found[0] + np.float32(9 if seen == 2 else 0), found[1]]  # number 1, which is not among them

        assert self.compare(off_at_one, 400).read.shape == (200, 2)
        seen = -1
        with pytest.raises(ModelError, match="does not compute") as told:
            self.compare(off_at_one, 400)
        assert "number 3 of 400" in told.value.got

    @pytest.mark.parametrize("factor", [1.01, np.nan, np.inf])
    def test_a_graph_that_computes_something_else_is_an_error(self, factor: float) -> None:
        with pytest.raises(ModelError, match="does not compute what") as told:
            self.compare(lambda found: [found[0], found[1] * np.float32(factor)])
        assert "y equal up to" in told.value.expected
        assert "of 10 judge samples" in told.value.got

    def test_another_shape_is_an_error(self) -> None:
        with pytest.raises(ModelError, match="in another shape"):
            self.compare(lambda found: [found[0][:, :1], found[1]])

    def test_flips_are_counted_where_something_is_decided(self) -> None:
        kinds = (Decision.PASS, Decision.REJECT, Decision.SCORE)
        passed, rejected, figure = (Verdict(decision=kind, confidence=1.0) for kind in kinds)
        assert parity.flipped([passed, passed, rejected], [passed, rejected, rejected]) == 1
        assert parity.flipped([figure], [figure]) is None

    def test_samples_are_spread_over_the_set(self) -> None:
        assert parity.parity_indices(3) == [0, 1, 2]
        many = parity.parity_indices(1000)
        assert (len(many), many[0], many[-1]) == (parity.SAMPLES, 0, 995)


def test_the_environment_is_left_as_it_was(tmp_path: Path) -> None:
    before = dict(os.environ)
    import_model(read_recipe(write_numbers_recipe(tmp_path)))
    assert dict(os.environ) == before
