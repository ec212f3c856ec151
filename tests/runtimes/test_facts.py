"""What is made of a compiled graph's layers, and what may be required of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from edgemill_core.errors import RequirementError
from edgemill_runtimes.engines import EngineFacts, EngineSettings, Layer
from edgemill_runtimes.engines.facts import require, shares
from edgemill_runtimes.engines.onnx_edges import read_edges

FACTS = EngineFacts("r", "1", "GPU", {"int8": 9, "fp32": 1}, {"int8": 0.75, "fp32": 0.25}, ("head",), {}, 1.0, 1.0, {})


def test_the_share_of_a_precision_is_that_of_its_work() -> None:
    layers = [Layer("a", "int8", 30), Layer("b", "fp32", 60), Layer("c", "int8", 150)]
    assert shares(layers) == {"int8": 0.75, "fp32": 0.25}
    assert shares([*layers, Layer("trees", "fp64")]) == {}
    assert shares([]) == {}


def test_what_is_so_may_be_required() -> None:
    require(FACTS, precision="int8", share=0.75, device="GPU", unfused=1)
    require(replace(FACTS, macs={}), precision="int8", share=0.9)  # without the work, the layers count


def test_everything_that_is_not_so_is_named() -> None:
    with pytest.raises(RequirementError) as caught:
        require(replace(FACTS, elsewhere={"nms": "CPU", "sort": "CPU"}), precision="int8", device="GPU", unfused=0)
    assert caught.value.got == "GPU, 2 nodes on CPU; int8 75.0%, fp32 25.0%; 1: head"


def test_a_node_elsewhere_is_a_surprise_even_if_the_device_is_right() -> None:
    with pytest.raises(RequirementError, match="1 nodes on CPU"):
        require(replace(FACTS, elsewhere={"nms": "CPU"}), device="GPU")


@pytest.mark.parametrize("asked", [{"precision": "fp32", "share": 0.1}, {"unfused": 5}])
def test_what_a_compiler_does_not_tell_cannot_be_required(asked: dict[str, Any]) -> None:
    hidden = replace(FACTS, hidden=("part 1", "part 2"))
    require(hidden, device="GPU")
    with pytest.raises(RequirementError, match="2 compiled parts that it tells nothing of: part 1, part 2"):
        require(hidden, **asked)


def test_settings_and_facts_come_through_json_as_they_were() -> None:
    settings = EngineSettings("NPU", 3, "throughput", Path("kept"), {"x": (None, (2, 9))}, "refuse")
    assert EngineSettings.from_dict(json.loads(json.dumps(settings.as_dict()))) == settings
    assert EngineSettings.from_dict(json.loads(json.dumps(EngineSettings().as_dict()))) == EngineSettings()
    assert EngineFacts.from_dict(json.loads(json.dumps(FACTS.as_dict()))) == FACTS


@pytest.mark.parametrize(
    ("operands", "quantized"),
    [(["a", "b"], True), (["a", "float"], False), (["x", "b"], False), (["a", "a"], False), (["a", "b", "bias"], True)],
    ids=["both", "float weights", "float activation", "two activations", "with bias"],
)
def test_a_layer_counts_as_quantized_if_both_its_operands_are(operands: list[str], quantized: bool) -> None:
    known = [helper.make_tensor(name, TensorProto.INT8, [2, 3], [0] * 6) for name in ("w", "float")]
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s"], ["a"]),
        helper.make_node("DequantizeLinear", ["w", "s"], ["b"]),
        helper.make_node("Conv", operands, ["y"], name="conv"),
    ]
    edges = read_edges(helper.make_model(helper.make_graph(nodes, "g", [], [], known)).SerializeToString())
    assert edges.is_quantized("conv") is quantized
    assert edges.weights("conv") == ([2, 3] if "float" in operands else None)
