"""Which plan fits a box: found beside the graph or in the store, whole, and made from this very graph."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edgemill_converters.raw_weights import write_apart
from edgemill_core.durable import canonical_json, sha256_bytes
from edgemill_core.errors import BundleError, MissingPartError, ModelError
from edgemill_runtimes.nvidia.gpu import Gpu
from edgemill_runtimes.nvidia.plan_facts import PlanFacts, facts_beside, read_facts
from edgemill_runtimes.nvidia.plans import adopt, fitting_plan, graph_digest, stored_plan, sweep

ORIN = Gpu("Orin", "8.7", 8000, True, "12.6")
RTX = Gpu("NVIDIA GeForce RTX 4070", "8.9", 12_000, False, "13.0")
VERSION = "10.3.0"


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A graph whose weights lie beside it."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [512], b"\0" * 2048, raw=True)
    node = helper.make_node("Add", ["x", "w"], ["y"], "add")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [512]) for name in "xy"]
    model = helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:], [weights]), ir_version=8)
    folder = tmp_path / "bundle"
    folder.mkdir()
    write_apart(model, folder / "graph.onnx", folder / "graph.weights")
    return folder / "graph.onnx"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


def facts_of(graph: Path, content: bytes, /, **changes: object) -> PlanFacts:
    told = {
        "runtime": "tensorrt",
        "version": VERSION,
        "compute_capabilities": (ORIN.compute_capability,),
        "gpu": ORIN.name,
        "cuda": ORIN.cuda,
        "graph": graph_digest(graph),
        "plan": sha256_bytes(content),
        "bytes": len(content),
    }
    return PlanFacts.model_validate({**told, **changes})


def put(plan: Path, facts: PlanFacts, content: bytes = b"plan") -> Path:
    plan.parent.mkdir(parents=True, exist_ok=True)
    plan.write_bytes(content)
    facts_beside(plan).write_bytes(canonical_json(facts.model_dump(mode="json")))
    return plan


def stored(store: Path, graph: Path, content: bytes = b"plan", **changes: object) -> Path:
    facts = facts_of(graph, content, **changes)
    return put(stored_plan(store, facts), facts, content)


class TestDigest:
    def test_it_is_of_the_graph_and_of_its_weights(self, graph: Path) -> None:
        first = graph_digest(graph)
        assert graph_digest(graph) == first
        weights = graph.with_name("graph.weights")
        content = weights.read_bytes()
        weights.write_bytes(content[:-1] + b"\1")
        other = graph_digest(graph)
        weights.write_bytes(content)
        model = onnx.load(graph, load_external_data=False)
        model.graph.node[0].name = "renamed"
        graph.write_bytes(model.SerializeToString())
        assert len({first, other, graph_digest(graph)}) == 3

    def test_weights_that_are_not_there_are_an_error(self, graph: Path) -> None:
        graph.with_name("graph.weights").unlink()
        with pytest.raises(ModelError, match=r"graph\.weights beside it"):
            graph_digest(graph)


class TestFitting:
    def test_beside_the_graph_before_the_store(self, graph: Path, store: Path) -> None:
        in_store = stored(store, graph)
        assert fitting_plan(graph, store, "tensorrt", ORIN, VERSION) == in_store
        beside = put(graph.with_name("a.plan"), facts_of(graph, b"plan"))
        assert fitting_plan(graph, store, "tensorrt", ORIN, VERSION) == beside
        assert fitting_plan(graph, None, "tensorrt", ORIN, VERSION) == beside

    def test_none_at_all_says_what_makes_one(self, graph: Path, store: Path) -> None:
        for place in (store, store / "not there", None):
            with pytest.raises(MissingPartError, match="edgemill agent compile BUNDLE") as caught:
                fitting_plan(graph, place, "tensorrt", ORIN, VERSION)
            assert caught.value.got == "none"
            assert caught.value.expected == "one for tensorrt 10.3.0 on Orin, compute capability 8.7"

    @pytest.mark.parametrize(
        ("changes", "expected", "got"),
        [
            ({"version": "10.13.2"}, "tensorrt 10.13.2", VERSION),
            ({"compute_capabilities": ("8.6", "8.9")}, "compute capability 8.6 or 8.9", "8.7"),
            ({"gpu": "Thor"}, "a GPU called Thor", "Orin"),
            ({"cuda": "12.2"}, "a driver that speaks CUDA 12.2", "one that speaks CUDA 12.6"),
            ({"dla": 0}, "core 0 of the deep learning accelerator", "the GPU"),
        ],
    )
    def test_what_is_for_another_box_is_named(
        self, graph: Path, store: Path, changes: dict[str, object], expected: str, got: str
    ) -> None:
        stored(store, graph, **changes)
        stored(store, graph, version="9.9.9", compute_capabilities=("7.5",), gpu="T4", cuda="11.4")  # further away
        with pytest.raises(MissingPartError, match="the nearest of 2 is for another") as caught:
            fitting_plan(graph, store, "tensorrt", ORIN, VERSION)
        assert (caught.value.expected, caught.value.got) == (expected, got)

    def test_of_another_runtime_or_graph_is_nobodys_neighbour(self, graph: Path, store: Path) -> None:
        stored(store, graph, runtime="tensorrt_rtx")
        put(graph.with_name("other.plan"), facts_of(graph, b"plan", graph="0" * 64))
        with pytest.raises(MissingPartError) as caught:
            fitting_plan(graph, store, "tensorrt", ORIN, VERSION)
        assert caught.value.got == "none"

    def test_one_for_the_accelerator_fits_its_core_alone(self, graph: Path, store: Path) -> None:
        plan = stored(store, graph, dla=1)
        assert fitting_plan(graph, store, "tensorrt", ORIN, VERSION, dla=1) == plan
        with pytest.raises(MissingPartError):
            fitting_plan(graph, store, "tensorrt", ORIN, VERSION, dla=0)

    def test_another_driver_that_speaks_the_same_cuda_refuses_nothing(self, graph: Path, store: Path) -> None:
        plan = stored(store, graph, driver="540.3.0, R36.3.0")
        newer = replace(ORIN, driver="540.4.0, R36.4.3")
        assert fitting_plan(graph, store, "tensorrt", newer, VERSION) == plan
        assert plan.parent.name == "tensorrt-10.3.0-sm87-Orin-cuda12.6"

    def test_built_ahead_fits_every_such_gpu(self, graph: Path) -> None:
        ahead = {"runtime": "tensorrt_rtx", "compute_capabilities": ("8.6", "8.9"), "gpu": None, "cuda": None}
        plan = put(graph.with_name("rtx.plan"), facts_of(graph, b"plan", **ahead))
        assert fitting_plan(graph, None, "tensorrt_rtx", RTX, VERSION) == plan

    @pytest.mark.parametrize("content", [b"plam", b"pla", b"plans", None])
    def test_a_damaged_one_is_refused_before_anybody_loads_it(
        self, graph: Path, store: Path, content: bytes | None
    ) -> None:
        plan = stored(store, graph)
        if content is None:
            plan.unlink()
            plan.mkdir()
        else:
            plan.write_bytes(content)
        with pytest.raises(BundleError, match="damaged"):
            fitting_plan(graph, store, "tensorrt", ORIN, VERSION)
        other = put(graph.with_name("whole.plan"), facts_of(graph, b"plan"))
        assert fitting_plan(graph, store, "tensorrt", ORIN, VERSION) == other

    def test_without_facts_it_is_nothing(self, graph: Path, store: Path) -> None:
        plan = stored(store, graph)
        facts_beside(plan).write_text('{"runtime": "tensorrt"}')
        with pytest.raises(BundleError, match=r"engine\.plan is for cannot be read"):
            fitting_plan(graph, store, "tensorrt", ORIN, VERSION)

    def test_what_was_compiled_for_another_graph_is_not_found_after_it_changed(self, graph: Path, store: Path) -> None:
        stored(store, graph)
        graph.with_name("graph.weights").write_bytes(b"\1" * 2048)
        with pytest.raises(MissingPartError):
            fitting_plan(graph, store, "tensorrt", ORIN, VERSION)


class TestStore:
    def test_a_folder_of_it_copied_to_another_box_just_works(self, graph: Path, store: Path, tmp_path: Path) -> None:
        stored(store, graph)
        whole, one_key = tmp_path / "whole", tmp_path / "one"
        shutil.copytree(store, whole)
        (one_key / graph_digest(graph)).mkdir(parents=True)
        (key,) = (store / graph_digest(graph)).iterdir()
        shutil.copytree(key, one_key / graph_digest(graph) / key.name)
        for copy in (whole, one_key):
            assert fitting_plan(graph, copy, "tensorrt", ORIN, VERSION).is_relative_to(copy)

    def test_a_key_says_for_which_kind_of_box_it_is(self, graph: Path) -> None:
        assert facts_of(graph, b"plan").key == "tensorrt-10.3.0-sm87-Orin-cuda12.6"
        assert facts_of(graph, b"plan", dla=0).key == "tensorrt-10.3.0-sm87-Orin-cuda12.6-dla0"

    def test_adopting_replaces_what_was_there(self, graph: Path, store: Path) -> None:
        for content in (b"plan", b"newer"):
            new = put(store / ".aside-x" / "engine.plan", facts_of(graph, content), content)
            plan = adopt(new, store)
            assert plan.read_bytes() == content
            assert fitting_plan(graph, store, "tensorrt", ORIN, VERSION) == plan
            assert not new.exists()
        assert sorted(os.listdir(plan.parent)) == ["engine.plan", "engine.plan.json"]
        sweep(store)
        assert os.listdir(store) == [graph_digest(graph)]

    def test_a_damaged_plan_is_not_adopted(self, graph: Path, store: Path) -> None:
        old = stored(store, graph)
        new = put(store / ".aside-x" / "engine.plan", facts_of(graph, b"plan"), b"plam")
        with pytest.raises(BundleError, match="damaged"):
            adopt(new, store)
        assert read_facts(old).plan == sha256_bytes(b"plan")

    def test_what_is_aside_is_never_found(self, graph: Path, store: Path) -> None:
        facts = facts_of(graph, b"plan")
        put(store / facts.graph / ".aside-y" / "engine.plan", facts)
        with pytest.raises(MissingPartError):
            fitting_plan(graph, store, "tensorrt", ORIN, VERSION)


@settings(deadline=None)
@given(
    st.tuples(
        st.sampled_from(["10.3.0", "11.0.0"]),
        st.sampled_from([("8.7",), ("8.6", "8.9"), ("8.7", "8.9")]),
        st.sampled_from([None, "Orin", "Thor"]),
        st.sampled_from([None, "12.6", "13.0"]),
    )
)
def test_it_fits_if_and_only_if_nothing_differs(told: tuple[str, tuple[str, ...], str | None, str | None]) -> None:
    version, capabilities, gpu, cuda = told
    facts = PlanFacts(
        runtime="tensorrt",
        version=version,
        compute_capabilities=capabilities,
        gpu=gpu,
        cuda=cuda,
        graph="0" * 64,
        plan="0" * 64,
        bytes=1,
    )
    fits = version == VERSION and "8.7" in capabilities and gpu in (None, "Orin") and cuda in (None, "12.6")
    assert (facts.misfit(ORIN, VERSION) is None) == fits
