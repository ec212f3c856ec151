"""Real plans of TensorRT-RTX, which are built without a GPU. What they compute, only a GPU shows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_bundle import FILES, make_bundle
from tiny_layers import Net, residual

from edgemill_converters.passes.base import copy_of
from edgemill_converters.quantization.calibration import calibrate
from edgemill_converters.quantization.dialects import DIALECTS, WriteQdq
from edgemill_core.errors import EngineCrashed, EngineError, EngineTimeout, InputError, MissingPartError, ModelError
from edgemill_runtimes.nvidia.compiling import Asked, CompileLimits, Progress, compile_plan
from edgemill_runtimes.nvidia.gpu import Gpu
from edgemill_runtimes.nvidia.header import HEADER_BYTES, read_header
from edgemill_runtimes.nvidia.plan_facts import facts_beside, read_facts
from edgemill_runtimes.nvidia.plans import adopt, fitting_plan

trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install edgemill[tensorrt]")
AHEAD = ("8.6", "8.9", "12.0")
ASKED = Asked("tensorrt_rtx", AHEAD)


@cache
def small() -> onnx.ModelProto:
    net = Net()
    return net.model(residual(net))


def fp16() -> onnx.ModelProto:
    model = copy_of(small())
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    del model.graph.value_info[:]
    return model


def int8() -> onnx.ModelProto:
    rng = np.random.default_rng(3)
    feeds = [rng.standard_normal((1, 8, 16, 16)).astype(np.float32) for _ in range(4)]
    return WriteQdq(calibrate(small(), feeds, 8), DIALECTS["tensorrt"])(small())


def large() -> onnx.ModelProto:
    """So that a build takes a second, and can be cut off in its middle."""
    net, last = Net(), "x"
    for _ in range(600):
        last = net.op("Relu", net.conv(last))
    return net.model(last)


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    onnx.save(model, folder / "graph.onnx")
    return folder / "graph.onnx"


@pytest.mark.parametrize("precision", [small, fp16, int8], ids=["fp32", "fp16", "int8 in our dialect"])
def test_a_plan_says_what_it_is_for_and_is_the_same_each_time(
    precision: Callable[[], onnx.ModelProto], tmp_path: Path
) -> None:
    graph = saved(precision(), tmp_path)
    facts = compile_plan(graph, tmp_path / "a.plan", ASKED)
    again = compile_plan(graph, tmp_path / "b.plan", ASKED, CompileLimits(cores=1))
    assert again == facts
    assert (tmp_path / "a.plan").read_bytes() == (tmp_path / "b.plan").read_bytes()
    header = read_header((tmp_path / "a.plan").read_bytes()[:HEADER_BYTES])
    assert header.runtime == facts.runtime == "tensorrt_rtx"
    assert header.version == facts.version == trt.__version__
    assert header.compute_capabilities == facts.compute_capabilities == AHEAD
    assert header.bytes == facts.bytes == (tmp_path / "a.plan").stat().st_size
    assert (facts.gpu, facts.cuda, facts.driver) == (None, None, None)


def test_int8_is_in_the_plan_and_not_taken_back_to_float(tmp_path: Path) -> None:
    """The weights of the layers in the middle lie in it as INT8; those of the first, whose input is FP32, need not."""
    net, last = Net(), "x"
    for size in (64, 64, 64):
        last = net.op("Relu", net.conv(last, size, 8 if last == "x" else 64, size=1))
    model = net.model(last)
    feeds = [np.random.default_rng(seed).standard_normal((1, 8, 16, 16)).astype(np.float32) for seed in range(4)]
    written = WriteQdq(calibrate(model, feeds, 8), DIALECTS["tensorrt"])(model)
    compile_plan(saved(written, tmp_path), tmp_path / "a.plan", ASKED)
    plan, known = (
        (tmp_path / "a.plan").read_bytes(),
        {one.name: numpy_helper.to_array(one) for one in written.graph.initializer},
    )
    found = 0
    for node in written.graph.node:
        if node.op_type == "QuantizeLinear" and known.get(node.input[0], np.empty(0)).size == 64 * 64:
            steps = np.rint(known[node.input[0]] / known[node.input[1]].reshape(-1, 1, 1, 1))
            found += np.clip(steps, -128, 127).astype(np.int8).tobytes() in plan
    assert found == 2


def test_a_plan_for_one_gpu_alone_says_so(tmp_path: Path) -> None:
    graph = saved(small(), tmp_path)
    made = {one: compile_plan(graph, tmp_path / one, Asked("tensorrt_rtx", (one,))) for one in AHEAD}
    for one, facts in made.items():
        assert read_header((tmp_path / one).read_bytes()[:HEADER_BYTES]).compute_capabilities == (one,)
        assert facts.compute_capabilities == (one,)
    gpu = Gpu("NVIDIA GeForce RTX 4070", "8.9", 12_000, False, "13.0")
    store = tmp_path / "store"
    aside = store / ".aside-x"
    aside.mkdir(parents=True)
    compile_plan(graph, aside / "engine.plan", Asked("tensorrt_rtx", ("8.9",)))
    plan = adopt(aside / "engine.plan", store)
    assert fitting_plan(graph, store, "tensorrt_rtx", gpu, trt.__version__) == plan
    assert plan.parent.name == f"tensorrt_rtx-{trt.__version__}-sm89"


def test_open_sizes_need_limits_and_have_them(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "w")
    shapes = {"x": ["n", 3, 32, "w"], "y": ["n", 4, 32, "w"]}
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    node = helper.make_node("Conv", ["x", "w"], ["y"], "conv", pads=[1] * 4)
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], [weights])
    file = saved(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path)
    with pytest.raises(InputError, match="leaves sizes open"):
        compile_plan(file, tmp_path / "a.plan", ASKED)
    limits = {"x": ((1, 4), None, None, (32, 640))}
    assert compile_plan(file, tmp_path / "a.plan", Asked("tensorrt_rtx", ("8.6",), limits)).bytes > 0


def test_non_max_suppression_is_named_with_a_way_out(tmp_path: Path) -> None:
    """It is read, said to be supported, and then there is no kernel for it."""
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in NMS_INPUTS.items()]
    known = [numpy_helper.from_array(np.array([value], kind), name) for name, value, kind in NMS_KNOWN]
    node = helper.make_node("NonMaxSuppression", ["boxes", "scores", "most", "iou", "score"], ["kept"], "suppress")
    kept = helper.make_tensor_value_info("kept", TensorProto.INT64, [None, 3])
    graph = helper.make_graph([node], "g", inputs, [kept], known)
    file = saved(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path)
    with pytest.raises(ModelError, match="NonMaxSuppression 'suppress' has no kernel here") as caught:
        compile_plan(file, tmp_path / "a.plan", ASKED)
    assert "let the task suppress overlapping ones" in str(caught.value.fix)


NMS_INPUTS = {"boxes": [1, 100, 4], "scores": [1, 2, 100]}
NMS_KNOWN = (("most", 10, np.int64), ("iou", 0.5, np.float32), ("score", 0.5, np.float32))


def test_what_the_parser_does_not_know_is_named(tmp_path: Path) -> None:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", [4, 4]), ("y", []))]
    graph = helper.make_graph([helper.make_node("Det", ["x"], ["y"], "det")], "g", ends[:1], ends[1:])
    file = saved(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path)
    with pytest.raises(ModelError, match=r"cannot read graph\.onnx: Det 'det'"):
        compile_plan(file, tmp_path / "a.plan", ASKED)


def test_a_gpu_that_it_does_not_build_for_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not build ahead for 8\.7") as caught:
        compile_plan(saved(small(), tmp_path), tmp_path / "a.plan", Asked("tensorrt_rtx", ("8.7",)))
    assert "SM86 SM89" in str(caught.value.expected)


def test_without_a_gpu_there_is_no_plan_for_this_box(tmp_path: Path) -> None:
    try:
        facts = compile_plan(saved(small(), tmp_path), tmp_path / "a.plan", Asked("tensorrt_rtx"))
    except MissingPartError as error:
        assert "driver" in error.what  # noqa: PT017 (a box with a GPU is the other case)
    else:
        assert len(facts.compute_capabilities) == 1


def test_the_command_compiles_a_bundle_ahead(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path, {FILES[0]: small().SerializeToString()}, runtime="tensorrt_rtx", device="GPU")
    store = tmp_path / "plans"
    command = [
        sys.executable,
        "-m",
        "edgemill",
        "agent",
        "compile",
        str(bundle.folder),
        "--store",
        str(store),
        "--json",
    ]
    done = subprocess.run([*command, "--compute-capability", "8.9"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout)["plans"]
    assert (told["outcome"], told["facts"]["compute_capabilities"]) == ("ahead", ["8.9"])
    gpu = Gpu("NVIDIA GeForce RTX 4070", "8.9", 12_000, False, "13.0")
    assert str(fitting_plan(bundle.path(FILES[0]), store, "tensorrt_rtx", gpu, trt.__version__)) == told["plan"]


def _of_compilers() -> list[int]:
    """Children of this process that compile."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words, parent = (entry / "cmdline").read_bytes(), (entry / "stat").read_text().rsplit(")", 1)[1].split()[1]
        except OSError:
            continue
        if b"compile_process" in words and int(parent) == os.getpid():
            found.append(int(entry.name))
    return found


def test_killed_in_the_middle_of_a_build_what_was_there_stays(tmp_path: Path) -> None:
    graph, plan = saved(large(), tmp_path), tmp_path / "a.plan"
    compile_plan(saved(small(), tmp_path), plan, ASKED)
    saved(large(), tmp_path)
    before, once = (plan.read_bytes(), facts_beside(plan).read_bytes()), threading.Event()

    def kill(at: Progress) -> None:
        if at.share is not None and not once.is_set():
            once.set()
            (pid,) = _of_compilers()
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(EngineCrashed, match="SIGKILL"):
        compile_plan(graph, plan, ASKED, tell=kill)
    assert once.is_set()
    assert (plan.read_bytes(), facts_beside(plan).read_bytes()) == before
    assert sorted(os.listdir(tmp_path)) == ["a.plan", "a.plan.json", "graph.onnx"]
    assert not _of_compilers()
    assert compile_plan(graph, plan, ASKED) == read_facts(plan)


@pytest.mark.parametrize(
    ("limits", "kind", "says"),
    [
        (CompileLimits(seconds=0.8), EngineTimeout, r"within 0\.8 s"),
        (CompileLimits(memory_mb=150), EngineError, "ran out of memory|the compiler died"),
    ],
)
def test_a_build_is_held_to_its_limits(
    tmp_path: Path, limits: CompileLimits, kind: type[EngineError], says: str
) -> None:
    with pytest.raises(kind, match=says):
        compile_plan(saved(large(), tmp_path), tmp_path / "a.plan", ASKED, limits)
    assert os.listdir(tmp_path) == ["graph.onnx"]
