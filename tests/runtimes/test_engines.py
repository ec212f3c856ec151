"""One contract for every engine, and what happens where it cannot be had."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from engine_contract import EngineContract
from onnx import TensorProto, helper, numpy_helper
from toy_runtime import distribution

from edgemill_core.errors import EngineError, InputError, MissingPartError, ModelError, RequirementError
from edgemill_runtimes.engines import Engine, EngineSettings, engine_class, load, runtime_names

A = np.array([[1, -2, 3, 4], [0, 5, -6, 7]], np.float32)
B = np.array([[0, 1, 1, 1], [-1, 2, 2, 2]], np.float32)


@pytest.fixture(scope="session")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nothing in the order of the alphabet, and ``twin`` is ``zeta`` once more, which compilers merge."""
    b, a, zeta, twin, alpha = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("b", "a", "zeta", "twin", "alpha")
    )
    nodes = [
        helper.make_node("Sub", ["a", "b"], ["alpha"]),
        helper.make_node("Relu", ["alpha"], ["zeta"]),
        helper.make_node("Identity", ["zeta"], ["twin"]),
    ]
    graph = helper.make_graph(nodes, "twins", [b, a], [zeta, twin, alpha])
    path = tmp_path_factory.mktemp("twins") / "twins.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def conv(path: Path, nodes: list[onnx.NodeProto], known: list[TensorProto], of: int = TensorProto.FLOAT) -> Path:
    """A graph that takes ``x[1, 3, 16, 16]`` and gives ``y[1, 8, 14, 14]``."""
    x, y = (helper.make_tensor_value_info(n, of, [1, c, s, s]) for n, c, s in (("x", 3, 16), ("y", 8, 14)))
    graph = helper.make_graph(nodes, "g", [x], [y], known)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def int8_conv(path: Path, zero_point: int = 0) -> Path:
    """INT8 as OpenVINO fuses it, and ONNX Runtime does not: nothing quantizes what the convolution gives.

    Weights with a zero point are not fused by OpenVINO either.
    """
    known = [
        numpy_helper.from_array(np.float32(0.02), "s"),
        numpy_helper.from_array(np.uint8(0), "z"),
        numpy_helper.from_array(np.int8(zero_point), "n"),
        numpy_helper.from_array(np.full((8, 3, 3, 3), 7, np.int8), "w"),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["a"]),
        helper.make_node("DequantizeLinear", ["w", "s", "n"], ["b"]),
        helper.make_node("Conv", ["a", "b"], ["y"], name="conv"),
    ]
    return conv(path, nodes, known)


class NativeContract(EngineContract):
    """What every runtime that reads ONNX owes besides."""

    feeds = {"x": np.random.default_rng(0).random((1, 3, 8, 32), np.float32)}  # noqa: RUF012

    def test_it_computes_what_numpy_computes(self, engine: Engine) -> None:
        x = self.feeds["x"][0]
        mean = x.reshape(3, 1, 8, 4, 8).mean(axis=(2, 4))[:, 0]
        weights = np.array([[-20, -20, -20], [30, -10, -10], [-10, 30, -10]])
        scores = weights @ mean + np.array([[8], [-8], [-8]])
        exact = np.exp(scores) / np.exp(scores).sum(axis=0)
        np.testing.assert_allclose(engine.run(self.feeds)["p"][0], exact.T, atol=1e-5)

    def test_threads_can_be_set(self, graph: Path) -> None:
        with load(self.runtime, graph, EngineSettings(threads=1)) as engine:
            assert engine.run(self.feeds)["p"].shape == (1, 4, 3)

    def test_open_dimensions_take_any_size(self, engine: Engine) -> None:
        assert engine.run({"x": np.zeros((2, 3, 8, 16), np.float32)})["p"].shape == (2, 2, 3)

    def test_numbers_that_are_not_finite_are_refused_if_asked(self, graph: Path) -> None:
        bad = self.feeds["x"].copy()
        bad[0, 1, 2, 3] = np.nan
        with load(self.runtime, graph) as engine:
            assert not np.isfinite(engine.run({"x": bad})["p"]).all()
        with load(self.runtime, graph, EngineSettings(non_finite="refuse")) as engine:
            engine.run(self.feeds)
            with pytest.raises(InputError, match=r"(?s)not finite.*1 of 768, the first at \[0, 1, 2, 3\]"):
                engine.run({"x": bad})

    def test_throughput_mode_gives_the_same(self, graph: Path, engine: Engine) -> None:
        with load(self.runtime, graph, EngineSettings(mode="throughput")) as many:
            for found in many.stream([self.feeds] * 10):
                np.testing.assert_allclose(found["p"], engine.run(self.feeds)["p"], rtol=1e-6)

    @pytest.mark.parametrize("precision", ["fp16", "int8", "bf16"])
    def test_a_precision_that_it_does_not_compute_in_is_an_error(self, engine: Engine, precision: str) -> None:
        engine.require(precision="fp32", device="CPU", unfused=0)
        with pytest.raises(RequirementError) as caught:
            engine.require(precision=precision)
        assert f"{precision} for 100% of the compute" in str(caught.value)
        assert "fp32 100.0%" in str(caught.value)
        assert caught.value.exit_code == 1

    def test_a_device_that_it_does_not_run_on_is_an_error(self, engine: Engine) -> None:
        with pytest.raises(RequirementError, match=r"(?s)everything on NPU.*got: +CPU"):
            engine.require(device="NPU")

    def test_fp16_asked_for_in_the_graph_is_not_taken_for_granted(self, tmp_path: Path) -> None:
        weights = numpy_helper.from_array(np.full((8, 3, 3, 3), 0.1, np.float16), "w")
        path = conv(
            tmp_path / "half.onnx",
            [helper.make_node("Conv", ["x", "w"], ["y"], name="conv")],
            [weights],
            TensorProto.FLOAT16,
        )
        with load(self.runtime, path) as engine:
            engine.run({"x": np.ones((1, 3, 16, 16), np.float16)})
            assert engine.facts().layers == {"fp32": 1}
            with pytest.raises(RequirementError, match="fp16"):
                engine.require(precision="fp16")

    def test_a_buffer_is_written_to_once_even_where_it_is_lent_to_the_runtime(self, tmp_path: Path) -> None:
        weights = numpy_helper.from_array(np.full((8, 3, 3, 3), 0.1, np.float32), "w")
        path = conv(tmp_path / "one.onnx", [helper.make_node("Conv", ["x", "w"], ["y"])], [weights])
        mine, ones = np.empty((1, 8, 14, 14), np.float32), np.ones((1, 3, 16, 16), np.float32)
        with load(self.runtime, path) as engine:
            engine.run({"x": ones}, into={"y": mine})
            kept = mine.copy()
            np.testing.assert_allclose(engine.run({"x": 3 * ones})["y"], 3 * kept, rtol=1e-6)
        np.testing.assert_allclose(kept, 2.7, rtol=1e-6)
        np.testing.assert_array_equal(mine, kept)

    def test_work_is_counted_by_layer(self, tmp_path: Path) -> None:
        weights = numpy_helper.from_array(np.full((8, 3, 3, 3), 0.1, np.float32), "w")
        path = conv(tmp_path / "one.onnx", [helper.make_node("Conv", ["x", "w"], ["y"], name="conv")], [weights])
        with load(self.runtime, path) as engine:
            (layer,) = engine._compiled().layers
            # Work that is done, not work that was asked for: with AVX-512 the runtime pads 8 channels to a block of 16.
            assert layer.macs in {channels * 14 * 14 * 3 * 3 * 3 for channels in (8, 16)}

    def test_a_broken_model_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "bad.onnx").write_bytes(b"\x00" * 100)
        with pytest.raises(ModelError, match=r"cannot load bad\.onnx"):
            load(self.runtime, tmp_path / "bad.onnx")

    def test_a_failure_inside_the_runtime_is_an_error_of_ours(self, tmp_path: Path) -> None:
        four = numpy_helper.from_array(np.array([4], np.int64), "four")
        values = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [size]) for name, size in (("x", "n"), ("y", 4))
        ]
        graph = helper.make_graph(
            [helper.make_node("Reshape", ["x", "four"], ["y"])], "g", values[:1], values[1:], [four]
        )
        onnx.save(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "four.onnx"
        )
        with load(self.runtime, tmp_path / "four.onnx") as engine:
            assert engine.run({"x": np.zeros(4, np.float32)})["y"].shape == (4,)
            with pytest.raises(EngineError, match=r"failed on four\.onnx"):
                engine.run({"x": np.zeros(5, np.float32)})

    def test_names_and_order_are_the_graph_s_own_even_where_outputs_merge(self, twins: Path) -> None:
        with load(self.runtime, twins) as engine:
            assert [str(spec) for spec in engine.inputs] == ["b: float32[?, 4]", "a: float32[?, 4]"]
            assert [spec.name for spec in engine.outputs] == ["zeta", "twin", "alpha"]
            found = engine.run({"a": A, "b": B})
            again = engine.run({"b": B, "a": A})
        assert list(found) == ["zeta", "twin", "alpha"]
        for name, exact in (("zeta", np.maximum(A - B, 0)), ("twin", np.maximum(A - B, 0)), ("alpha", A - B)):
            np.testing.assert_allclose(found[name], exact)
            np.testing.assert_array_equal(found[name], again[name])

    def test_a_result_may_be_written_to_and_outlives_the_engine(self, twins: Path) -> None:
        with load(self.runtime, twins) as engine:
            first = engine.run({"a": A, "b": B})
            first["zeta"][:] = -1
            np.testing.assert_allclose(engine.run({"a": A, "b": B})["zeta"], np.maximum(A - B, 0))
        assert (first["zeta"] == -1).all()
        np.testing.assert_allclose(first["twin"], np.maximum(A - B, 0))

    def test_any_view_may_be_fed_and_is_left_alone(self, twins: Path) -> None:
        strided, frozen = np.repeat(A, 2, axis=1)[:, ::2], B.copy()
        frozen.setflags(write=False)
        with load(self.runtime, twins) as engine:
            np.testing.assert_allclose(engine.run({"a": strided, "b": frozen})["alpha"], A - B)
        np.testing.assert_array_equal(strided, A)

    @pytest.mark.parametrize(
        ("feeds", "parts"),
        [
            ({}, ["b, a", "nothing"]),
            ({"a": A, "b": B, "c": B}, ["other tensors", "a, b, c"]),
            ({"a": A.astype(np.float64), "b": B}, ["'a'", "a: float32[?, 4]", "float64[2, 4]"]),
            ({"a": A, "b": B[:, :3]}, ["'b'", "float32[2, 3]"]),
            ({"a": A, "b": B.tolist()}, ["'b'", "not a numpy array", "list"]),
        ],
        ids=["none", "unknown", "dtype", "size", "list"],
    )
    def test_feeds_that_do_not_fit_are_explained(
        self, twins: Path, feeds: dict[str, np.ndarray], parts: list[str]
    ) -> None:
        with load(self.runtime, twins) as engine, pytest.raises(InputError) as caught:
            engine.run(feeds)
        for part in (*parts, "expected:", "got:", "to do:"):
            assert part in str(caught.value)

    def test_it_is_closed_when_the_block_ends_with_an_error(self, twins: Path) -> None:
        with pytest.raises(ZeroDivisionError), load(self.runtime, twins) as engine:
            raise ZeroDivisionError
        with pytest.raises(EngineError, match="closed"):
            engine.run({"a": A, "b": B})


class TestOnnxRuntime(NativeContract):
    runtime = "onnxruntime"

    def test_a_graph_in_the_wrong_dialect_is_caught(self, tmp_path: Path) -> None:
        with load(self.runtime, int8_conv(tmp_path / "int8.onnx")) as engine:
            assert engine.facts().layers == {"fp32": 1}
            with pytest.raises(RequirementError, match=r"(?s)at most 0 unfused.*1: conv.*dialect of onnxruntime"):
                engine.require(unfused=0)

    def test_facts_that_cannot_be_had_are_an_error_of_ours(self, tmp_path: Path) -> None:
        pairs = numpy_helper.from_array(np.array([-1, 8], np.int64), "pairs")
        x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", s]) for n, s in (("x", 4), ("y", 8)))
        graph = helper.make_graph([helper.make_node("Reshape", ["x", "pairs"], ["y"])], "g", [x], [y], [pairs])
        path = tmp_path / "pairs.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
        with load(self.runtime, path) as engine, pytest.raises(EngineError, match=r"failed on pairs\.onnx"):
            engine.facts()

    @pytest.mark.parametrize("device", ["CUDA", "TENSORRT", "OPENVINO", "NPU", "GPU", ""])
    def test_another_device_is_never_swapped_for_the_cpu(self, graph: Path, device: str) -> None:
        with pytest.raises(MissingPartError) as caught:
            load(self.runtime, graph, EngineSettings(device))
        assert "CPUExecutionProvider" in str(caught.value)
        assert caught.value.exit_code == 3


class TestOpenVino(NativeContract):
    runtime = "openvino"

    def test_a_graph_in_its_own_dialect_is_fused(self, tmp_path: Path) -> None:
        with load(self.runtime, int8_conv(tmp_path / "int8.onnx")) as engine:
            engine.require(precision="int8", unfused=0)

    def test_a_graph_in_the_wrong_dialect_is_caught(self, tmp_path: Path) -> None:
        with load(self.runtime, int8_conv(tmp_path / "int8.onnx", zero_point=5)) as engine:
            assert engine.facts().layers == {"fp32": 1}
            with pytest.raises(RequirementError, match=r"(?s)at most 0 unfused.*dialect of openvino"):
                engine.require(unfused=0)

    def test_auto_is_there_if_asked_for_and_says_what_it_chose(self, graph: Path) -> None:
        with load(self.runtime, graph, EngineSettings("AUTO")) as engine:
            assert "CPU" in engine.facts().device

    def test_a_compiled_graph_is_kept_where_asked(self, graph: Path, tmp_path: Path) -> None:
        settings, found = EngineSettings(cache=tmp_path / "cache"), []
        for _ in range(2):
            with load(self.runtime, graph, settings) as engine:
                found.append(engine.run(self.feeds)["p"].tobytes())
        assert found[0] == found[1]
        kept = list((tmp_path / "cache").rglob("*.blob"))
        assert kept
        for blob in kept:
            blob.write_bytes(b"broken" * 100)
        with load(self.runtime, graph, settings) as engine:
            assert engine.run(self.feeds)["p"].tobytes() == found[0]

    @pytest.mark.parametrize("device", ["NPU", "GPU", "AUTO:GPU", "MULTI:GPU,CPU", "HETERO:NPU,CPU"])
    def test_another_device_is_never_swapped_for_the_cpu(self, graph: Path, device: str) -> None:
        with pytest.raises(MissingPartError) as caught:
            load(self.runtime, graph, EngineSettings(device))
        assert f"no device '{device}'" in str(caught.value)
        assert "CPU" in str(caught.value)


class TestThirdParty(EngineContract):
    runtime = "toy"
    feeds = {"x": np.array([[1, 2, 3]], np.uint8)}  # noqa: RUF012

    @pytest.fixture(autouse=True)
    def installed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        distribution(tmp_path)
        monkeypatch.syspath_prepend(tmp_path)

    def test_it_is_listed_beside_ours(self) -> None:
        assert set(runtime_names()) == {"onnxruntime", "openvino", "tensorrt", "tensorrt_rtx", "torch", "toy"}

    def test_nobody_can_take_our_names(self, tmp_path: Path) -> None:
        points = tmp_path / "toy-1.0.dist-info" / "entry_points.txt"
        points.write_text("[edgemill.runtimes]\nopenvino = toy_runtime:ToyEngine\n")
        assert engine_class("openvino").__module__ == "edgemill_runtimes.engines.openvino"


def test_an_entry_point_that_is_no_engine_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution(tmp_path, "toy_runtime:NOT_AN_ENGINE")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EngineError, match="not an Engine"):
        engine_class("toy")


def test_an_entry_point_that_names_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution(tmp_path, "toy_runtime:ToyEnigne")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EngineError) as caught:
        engine_class("toy")
    assert "toy_runtime:ToyEnigne, which is None" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "part"), [(None, "spindle"), ("raise OSError('libspindle.so.2: cannot open')", "libspindle.so.2")]
)
def test_a_third_party_that_cannot_be_imported_is_a_missing_part_but_no_extra_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, part: str
) -> None:
    distribution(tmp_path, "spindle:Engine")
    if content:
        (tmp_path / "spindle.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingPartError) as caught:
        engine_class("toy")
    assert caught.value.exit_code == 3
    assert part in str(caught.value.got)
    assert caught.value.fix == "install what spindle needs"


def test_an_unknown_runtime_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(EngineError) as caught:
        engine_class("abacus")
    assert "onnxruntime | openvino" in str(caught.value)


@pytest.mark.parametrize(
    ("runtime", "way"),
    [
        ("onnxruntime", "pip install 'edgemill[ort]'"),
        ("openvino", "pip install 'edgemill[openvino]'"),
        ("tensorrt", "--system-site-packages"),
        ("tensorrt_rtx", "pip install 'edgemill[tensorrt]'"),
    ],
)
def test_a_runtime_that_is_not_installed_says_how_to_get_it(runtime: str, way: str) -> None:
    code = (
        f"import sys; sys.modules[{runtime!r}] = None\n"
        "from edgemill_runtimes.engines import engine_class\n"
        "from edgemill_core.errors import MissingPartError\n"
        f"try: engine_class({runtime!r})\n"
        "except MissingPartError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert way in done.stdout
