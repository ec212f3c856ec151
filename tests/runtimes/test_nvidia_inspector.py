"""The engine inspector's JSON, read.

No inspector ran where these were written: it needs a GPU. The samples are our own, in the form of NVIDIA's developer
guide (section "Engine Inspector") and with the words that NVIDIA's trt-engine-explorer reads (TensorRT 8.6 and 10.0).
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemill_runtimes.engines.facts import Layer
from edgemill_runtimes.nvidia.inspector import Inspected, read_inspected

LINEAR = "Row major linear {} format"


def tensor(name: str, sizes: list[int], said: str) -> dict[str, Any]:
    return {"Name": name, "Location": "Device", "Dimensions": sizes, "Format/Datatype": said}


def conv(name: str = "conv1 + relu1", said: str = "Int8", weights: str | None = "Int8", **more: Any) -> dict[str, Any]:
    layer = {
        "Name": name,
        "LayerType": "CaskConvolution",
        "Inputs": [tensor("x", [1, 16, 32, 32], f"Thirty-two wide channel vectorized row major {said} format")],
        "Outputs": [tensor("y", [1, 64, 32, 32], LINEAR.format(said))],
        "ParameterType": "Convolution",
        "Kernel": [3, 3],
        "OutMaps": 64,
        "Groups": 1,
        "Bias": {"Type": "Float", "Count": 64},
        "TacticName": "sm80_xmma_fprop_implicit_gemm_interleaved_i8i8_i8i32_f32",
        "Metadata": "[ONNX Layer: conv1]\x1e[ONNX Layer: relu1]",
    }
    held = {} if weights is None else {"Weights": {"Type": weights, "Count": 64 * 16 * 9}}
    return {**layer, **held, **more}


def gemm(**more: Any) -> dict[str, Any]:
    return {
        "Name": "/fc/MatMul_myl0_1",
        "LayerType": "gemm",
        "Inputs": [tensor("a", [8, 128], "Half"), tensor("b", [128, 10], "Half")],
        "Outputs": [tensor("c", [8, 10], "Half")],
        "TacticName": "ampere_h16816gemm_256x128_ldg8_nn_v1",
        "Metadata": "[ONNX Layer: /fc/MatMul]",
        **more,
    }


def read(*layers: Any, **more: Any) -> Inspected:
    return read_inspected(json.dumps({"Layers": list(layers), "Bindings": ["x", "y"]}), **more)


def only(*layers: Any, **more: Any) -> Layer:
    (found,) = read(*layers, **more).layers
    return found


def test_a_convolution_tells_name_precision_and_work() -> None:
    assert only(conv()) == Layer("conv1 + relu1", "int8", 64 * 32 * 32 * 16 * 9)


def test_layers_keep_their_order_and_what_moves_or_converts_is_none() -> None:
    light = [
        {"Name": "Reformatting CopyNode for Input Tensor 0 to conv1", "LayerType": "Reformat", "Origin": "REFORMAT"},
        {"Name": "x_QuantizeLinear conv1 gemm", "LayerType": "Quantize", "ParameterType": "Quantize"},
        {"Name": "pool behind conv1", "LayerType": "CaskPooling", "ParameterType": "Pooling"},
        {"Name": "__myl_AddRelu_myl0_2", "LayerType": "kgen", "TacticName": "__myl_AddRelu_0x1234"},
        {"Name": "s", "LayerType": "signal"},
    ]
    found = read(light[0], conv(), *light[1:], gemm())
    assert [layer.name for layer in found.layers] == ["conv1 + relu1", "/fc/MatMul_myl0_1"]
    assert found.hidden == ()


@pytest.mark.parametrize(
    ("said", "weights", "precision"),
    [
        ("Int8", "Int8", "int8"),
        ("INT8", None, "int8"),
        ("FP16", "Half", "fp16"),
        ("FP16", "Int8", "fp16"),
        ("Int8", "Float", "fp32"),
        ("FP32", "Int8", "fp32"),
        ("BFloat16", "BF16", "bf16"),
        ("FP8", "FP8", "fp8"),
        ("Double", "Double", "fp64"),
        ("N/A due to dynamic shapes", "Half", "fp16"),
        ("N/A due to dynamic shapes", None, "unknown"),
    ],
)
def test_precision_is_the_wider_of_input_and_weights(said: str, weights: str | None, precision: str) -> None:
    assert only(conv(said=said, weights=weights)).precision == precision


def test_the_datatype_may_stand_by_itself() -> None:
    apart = {"Name": "x", "Dimensions": [1, 16, 32, 32], "Datatype": "Half", "Format": "kLINEAR"}
    assert only(conv(Inputs=[apart], weights=None)).precision == "fp16"


def test_tf32_is_not_fp32() -> None:
    tactic = "sm80_xmma_fprop_implicit_gemm_tf32f32_tf32f32_f32_nhwckrsc_nchw"
    assert only(conv(said="FP32", weights="Float", TacticName=tactic)).precision == "tf32"
    assert only(conv(said="FP16", weights="Half", TacticName=tactic)).precision == "fp16"


@pytest.mark.parametrize(
    ("layer", "macs"),
    [
        (gemm(), 8 * 10 * 128),
        (gemm(Inputs=[tensor("a", [128, 8], "Half"), tensor("b", [128, 10], "Half")]), None),
        (conv(weights=None), None),
        (conv(Outputs=[tensor("y", [-1, 64, 32, 32], "FP16")]), None),
        (conv(Outputs=[]), None),
        (conv(OutMaps=0), 64 * 32 * 32 * 16 * 9),
        (
            conv(
                LayerType="CaskDeconvolutionV2",
                Weights={"Type": "Half", "Count": 16 * 8 * 4},
                Outputs=[tensor("y", [1, 8, 64, 64], "FP16")],
            ),
            16 * 32 * 32 * 8 * 4,
        ),
        (gemm(LayerType="kgen", Name="_gemm_mha_v2_myl0_4", Outputs=[tensor("c", [8, 64, 2], "Half")]), None),
    ],
    ids=["gemm", "turned", "no weights", "open", "no outputs", "no maps", "deconvolution", "attention"],
)
def test_work_is_told_only_where_shapes_tell_it(layer: dict[str, Any], macs: int | None) -> None:
    assert only(layer).macs == macs


def test_names_of_fused_layers_can_be_read() -> None:
    assert only(conv(name="a\x1eb\x1fc")).name == "a + b + c"


def test_a_quantized_layer_that_computes_in_float_is_unfused() -> None:
    quantized = {"conv1", "/fc/MatMul"}.__contains__
    found = read(conv(), conv(said="FP16", weights="Half"), gemm(), is_quantized=quantized).layers
    assert [layer.unfused for layer in found] == [False, True, True]
    assert not only(gemm(Metadata="[ONNX Layer: other]"), is_quantized=quantized).unfused
    assert only(conv(said="FP16", weights="Half", Metadata=""), is_quantized=quantized).unfused


def test_names_alone_are_hidden() -> None:
    assert read("conv1 + relu1", "fc") == Inspected(hidden=("conv1 + relu1", "fc"))


def test_what_another_compiler_took_is_hidden() -> None:
    foreign = {"Name": "{ForeignNode[conv1...fc]}", "LayerType": "Myelin"}
    assert read(foreign, conv()) == Inspected(read(conv()).layers, ("{ForeignNode[conv1...fc]}",))


def test_what_the_accelerator_took_is_hidden_and_named_as_its_own() -> None:
    dla = {"Name": "{ForeignNode[conv1...conv9]}", "LayerType": "DLA"}
    assert read(dla, conv()).accelerated == ("{ForeignNode[conv1...conv9]}",)


def test_layers_of_further_profiles_are_the_same_ones_again() -> None:
    assert len(read(conv(), conv(name="conv1 + relu1 [profile 1]"), conv(name="c [profile 12]")).layers) == 1


@pytest.mark.parametrize("text", ["", "not JSON", "[]", "{}", '{"Layers": []}', '{"Layers": [3]}', '{"Layers": null}'])
def test_what_cannot_be_read_hides_everything(text: str) -> None:
    assert read_inspected(text) == Inspected(hidden=("the whole plan",))


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 99) | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(
                ["Name", "LayerType", "ParameterType", "Inputs", "Outputs", "Weights", "OutMaps", "Metadata"]
            ),
            junk | st.sampled_from(["conv", "gemm", "kgen", "DLA"]),
        ),
        max_size=4,
    )
)
def test_a_form_that_nobody_has_seen_is_no_crash(layers: list[dict[str, Any]]) -> None:
    found = read(*layers)
    assert len(found.layers) + len(found.hidden) <= max(len(layers), 1)
    assert all(layer.macs is None or layer.macs >= 0 for layer in found.layers)
