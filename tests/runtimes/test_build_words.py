"""What the builder says, in our words: errors, progress, and the sizes that a plan is for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemill_core.errors import EngineError, InputError, ModelError
from edgemill_core.tensors import TensorSpec
from edgemill_runtimes.nvidia.asked import Asked
from edgemill_runtimes.nvidia.build_errors import Complaint, named_in, unbuilt, unparsed
from edgemill_runtimes.nvidia.build_progress import Phases, left_s
from edgemill_runtimes.nvidia.profiles import spans

NMS = (
    "[tacticSupply.cpp::getSupportedFormats::48] Error Code 2: Internal Error (Assertion !layerImpls.empty() failed. "
    "nms_here_0 has no runners that implement it In getSupportedFormats at /_src/optimizer/builder/tacticSupply.cpp:48)"
)
"""Of TensorRT-RTX 1.7.1, for a node called nms_here."""
VERSION = "1.7.1.116"


def test_a_node_without_a_kernel_is_named_with_a_way_out() -> None:
    error = unbuilt("g.onnx", "tensorrt_rtx", VERSION, [NMS], {"nms": "Relu", "nms_here": "NonMaxSuppression"})
    assert isinstance(error, ModelError)
    assert error.what == (
        "tensorrt_rtx 1.7.1.116 reads g.onnx but cannot build it: NonMaxSuppression 'nms_here' has no kernel here"
    )
    assert "suppress overlapping" in str(error.fix)
    assert "onnxruntime, openvino, or tensorrt" in str(error.fix)


def test_without_a_name_the_log_has_the_word() -> None:
    error = unbuilt("g.onnx", "tensorrt", "10.3.0", ["one", "two"], {"a": "Conv"})
    assert (error.what, error.got) == ("tensorrt 10.3.0 reads g.onnx but cannot build it", "two")
    assert unbuilt("g.onnx", "tensorrt", "10.3.0", [], {}).got == "a refusal without a reason"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("nms_here_0 has no runners", "nms_here"),
        ("could not find any implementation for node {ForeignNode[/a/Conv.../b/Conv]}", "/b/Conv"),
        ("node_of_boxes_2 failed", "node_of_boxes"),
        ("fused conv1 + relu", "conv1"),
        ("conv10 failed", None),
        ("my_conv1 failed", None),
        ("Attention operation was not supported by a dedicated kernel", "att"),
    ],
)
def test_the_node_that_a_log_speaks_of(line: str, found: str | None) -> None:
    names = {
        "nms_here": "NonMaxSuppression",
        "/b/Conv": "Conv",
        "node_of_boxes": "TopK",
        "conv1": "Conv",
        "att": "Attention",
        "": "Conv",
    }
    assert named_in(["nothing", line], names) == found


@pytest.mark.parametrize(
    "line", ["Unexpected exception std::bad_alloc", "Error Code 2: OutOfMemory (Requested size …)"]
)
def test_want_of_memory_is_not_the_graphs_fault(line: str) -> None:
    assert isinstance(unbuilt("g.onnx", "tensorrt", "10.3.0", ["one", line], {"a": "Conv"}), EngineError)
    assert isinstance(unparsed("g.onnx", "tensorrt", "10.3.0", [Complaint("", "", line)]), EngineError)


def test_the_parser_names_what_it_does_not_know() -> None:
    complaints = [Complaint("", "", "general"), Complaint("roi", "RoiAlign", "plugin was not found")]
    error = unparsed("g.onnx", "tensorrt_rtx", VERSION, complaints)
    assert (error.what, error.got) == (
        "tensorrt_rtx 1.7.1.116 cannot read g.onnx: RoiAlign 'roi'",
        "plugin was not found",
    )
    assert unparsed("g.onnx", "tensorrt_rtx", VERSION, complaints[:1]).got == "general"
    assert unparsed("g.onnx", "tensorrt_rtx", VERSION, []).got == "a refusal without a reason"


def test_progress_counts_phases_within_phases() -> None:
    phases = Phases()
    assert (phases.share(), phases.innermost) == (0.0, "")
    phases.start("build", None, 4)
    phases.step("build", 0)
    assert phases.share() == 0.25
    phases.start("tactics", "build", 2)
    phases.step("tactics", 0)
    assert (phases.share(), phases.innermost) == (0.375, "tactics")
    phases.finish("tactics")
    assert phases.share() == 0.375  # what is behind us stays behind us
    phases.step("build", 1)
    assert (phases.share(), phases.innermost) == (0.5, "build")
    phases.finish("build")
    assert (phases.share(), phases.innermost) == (0.5, "")


NAMES = st.sampled_from(["a", "b", "c"])
EVENTS = st.one_of(
    st.tuples(st.just("start"), NAMES, st.none() | NAMES, st.integers(-1, 5)),
    st.tuples(st.just("step"), NAMES, st.integers(0, 9)),
    st.tuples(st.just("finish"), NAMES),
)


@settings(deadline=None)
@given(st.lists(EVENTS, max_size=30))
def test_progress_never_goes_back_whatever_is_reported(events: list[tuple[object, ...]]) -> None:
    phases, before = Phases(), 0.0
    for what, *told in events:
        getattr(phases, str(what))(*told)
        assert before <= phases.share() <= 1
        before = phases.share()


def test_time_that_is_left() -> None:
    assert left_s(30, 0.25) == 90
    assert left_s(30, 1.0) == 0
    assert left_s(0.5, 0.25) is left_s(30, 0.01) is left_s(30, None) is None


def test_a_plan_is_for_a_range_of_sizes_tuned_for_the_most() -> None:
    inputs = [TensorSpec("x", "float32", (None, 3, None)), TensorSpec("fixed", "float32", (1, 3))]
    assert spans(inputs, {"x": ((1, 4), None, (32, 64))}) == {"x": ((1, 3, 32), (4, 3, 64))}
    assert spans(inputs[1:], {}) == {}


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({}, "leaves sizes open"),
        ({"x": ((1, 4), None, None)}, "leaves sizes open"),
        ({"y": ((1, 4),)}, "does not take"),
        ({"x": ((1, 4), (3, 3), (32, 64))}, "do not fit"),
        ({"x": ((4, 1), None, (32, 64))}, "do not fit"),
    ],
)
def test_sizes_that_cannot_be_are_refused(limits: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        spans([TensorSpec("x", "float32", (None, 3, None))], limits)


def test_what_is_asked_comes_through_a_message() -> None:
    import json
    from pathlib import Path

    asked = Asked("tensorrt", (), {"x": ((1, 4), None)}, Path("/t.cache"), 500, 1, 0, gpu_fallback=True)
    assert Asked.from_dict(json.loads(json.dumps(asked.as_dict()))) == asked
    ahead = Asked("tensorrt_rtx", ("8.6", "8.9"))
    assert Asked.from_dict(json.loads(json.dumps(ahead.as_dict()))) == ahead
