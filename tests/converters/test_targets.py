"""What a recipe may say of a target that nothing runs of here, and what the words for it are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_layers import tiny_layers

from edgemill_converters.build import build
from edgemill_converters.precisions import PRECISIONS
from edgemill_converters.precisions.base import Given, Rendered
from edgemill_converters.quantization.calibration import calibrate
from edgemill_converters.quantization.settings import Quantization
from edgemill_converters.recipe import read_recipe
from edgemill_converters.standing_in.running import TOLERANCE
from edgemill_converters.targets import AHEAD, Target
from edgemill_core.errors import MissingPartError, RecipeError
from edgemill_runtimes.machine import this_machine
from edgemill_runtimes.nvidia.plan_facts import NVIDIA_RUNTIMES

Workshop = Callable[..., Path]
RTX = {"runtime": "tensorrt_rtx", "compute_capability": ["8.6"]}
SEARCH = {"calibration": {"labels": "calibration"}, "search": {"labels": "judge"}, "judge": {"labels": "judge"}}


@pytest.mark.parametrize(
    ("targets", "parts"),
    [
        ([{"runtime": "tensorrt_rtx"}], ["targets.0.compute_capability", '"7.5", "8.0", "8.6"', "in quotes"]),
        ([{**RTX, "compute_capability": []}], ["targets.0.compute_capability", "one or more"]),
        ([{**RTX, "compute_capability": [8.6]}], ["in quotes", "[8.6]"]),
        ([{**RTX, "compute_capability": ["8.7"]}], ['"12.1"', "['8.7']"]),
        ([{**RTX, "compute_capability": "8.6"}], ["a list of one or more"]),
        ([{"runtime": "tensorrt", "compute_capability": ["8.6"]}], ["only tensorrt_rtx builds plans ahead"]),
        ([{"runtime": "openvino", "compute_capability": ["8.6"]}], ["only tensorrt_rtx builds plans ahead"]),
        ([{**RTX, "device": "CPU"}], ["targets.0.device", "GPU", "'CPU'"]),
        ([{**RTX, "device": "DLA.0"}], ["targets.0.device", "GPU"]),
        ([{"runtime": "tensorrt", "device": "DLA"}], ["GPU | GPU.1 | DLA.0"]),
        ([{"runtime": "tensorrt", "device": "GPU.1x"}], ["GPU | GPU.1 | DLA.0"]),
        ([{**RTX, "precisions": ["fp32"]}, {**RTX, "precisions": ["int8"]}], ["two tensorrt_rtx-gpu", "capabilities"]),
        ([{"runtime": "tensorrt"}] * 2, ["two tensorrt-gpu"]),
        (
            [{"runtime": "tensorrt", "device": "DLA.0", "precisions": ["int8"]}, {"runtime": "tensorrt"}],
            ["one device", "tensorrt-dla.0 and tensorrt-gpu", "a recipe of its own"],
        ),
        ([{"runtime": "tensorrt", "precisions": ["bf16"]}], ["bf16 on openvino", "[fp32, fp16, int8]"]),
        ([{**RTX, "precisions": ["int8-weights"]}], ["int8-weights on a runtime for CPUs", "[fp32, fp16, int8]"]),
        ([{**RTX, "precisions": ["int8-dynamic"]}], ["int8-dynamic on onnxruntime", "[fp32, fp16, int8]"]),
    ],
)
def test_what_cannot_be_built_is_refused_with_the_line(
    workshop: Workshop, targets: list[dict[str, Any]], parts: list[str]
) -> None:
    with pytest.raises(RecipeError) as caught:
        read_recipe(workshop(judge=2, targets=targets))
    assert "recipe.yaml, line " in str(caught.value)
    for part in parts:
        assert part in str(caught.value), str(caught.value)


@pytest.mark.parametrize("asked", [{"search": True}, {"quantization": {"fallback": True}}])
def test_searches_that_compare_times_are_refused_where_nothing_is_timed(
    workshop: Workshop, asked: dict[str, Any]
) -> None:
    key = "fallback:" if "quantization" in asked else "search:"
    recipe = workshop(judge=2, data=SEARCH, targets=[{"runtime": "tensorrt"}, {"runtime": "openvino"}], **asked)
    with pytest.raises(RecipeError, match=f"{key} compares times .* nothing of tensorrt-gpu runs here"):
        read_recipe(recipe)
    recipe.write_text(recipe.read_text().replace("runtime: tensorrt", "runtime: tensorrt\n  precisions: [fp16]"))
    assert read_recipe(recipe).searches


def test_a_target_is_named_by_its_device_and_keeps_its_capabilities_in_order() -> None:
    one = Target(runtime="tensorrt_rtx", compute_capability=("12.0", "8.6", "8.6"))
    assert (one.name, one.compute_capability, one.runs_here, one.is_built_ahead) == (
        "tensorrt_rtx-gpu",
        ("8.6", "12.0"),
        False,
        True,
    )
    accelerator = Target(runtime="tensorrt", device="DLA.0")
    assert (accelerator.name, accelerator.is_built_ahead) == ("tensorrt-dla.0", False)
    plain = Target(runtime="onnxruntime")
    assert (plain.name, plain.runs_here, plain.is_built_ahead) == ("onnxruntime-cpu", True, False)
    for target in (one, accelerator, plain):
        assert Target.model_validate(target.model_dump(mode="json")) == target  # as provenance says it
    assert "compute_capability" not in plain.model_dump(mode="json")  # nor in papers of what is not built ahead
    assert len(set(AHEAD)) == len(AHEAD)


def test_every_precision_of_a_gpu_has_a_tolerance_and_none_is_narrower_than_its_own() -> None:
    able = {name for name, one in PRECISIONS.items() if one.can_run_on("tensorrt")}
    assert able == set(TOLERANCE) == {"fp32", "fp16", "int8"}
    assert all(TOLERANCE[name] >= PRECISIONS[name].tolerance for name in able)


@pytest.mark.parametrize("runtime", NVIDIA_RUNTIMES)
def test_a_gpu_gets_eight_bits_whatever_the_build_machine_s_processor_needs(runtime: str) -> None:
    model = tiny_layers("residual")
    rng = np.random.default_rng(1)
    feeds = [rng.standard_normal((1, 8, 16, 16)).astype(np.float32) for _ in range(2)]

    def rendered(bits: int, corrected: bool, in_8_bits_too: bool = False) -> Rendered:
        plan = calibrate(model, feeds, bits, Quantization(bias_correction=corrected), in_8_bits_too=in_8_bits_too)
        assert bool(plan.bias_shifts) is corrected
        return PRECISIONS["int8"].render(Given(runtime, model, plan, this_machine()))

    corrected, plain = rendered(8, True), rendered(8, False)
    assert corrected.graph != plain.graph
    assert rendered(7, True, in_8_bits_too=True) == corrected  # what is said of it too
    assert rendered(7, False, in_8_bits_too=True) == rendered(7, True) == plain


def test_plans_that_cannot_be_built_here_are_found_missing_before_any_work(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgemill_converters.target_parts.installed_runtime", lambda _: None)
    recipe = workshop(judge=2, targets=[RTX])
    with pytest.raises(MissingPartError) as caught:
        build(recipe)
    assert "pip install 'edgemill[tensorrt]'" in str(caught.value)
    assert not (recipe.parent / ".edgemill-cache").exists()
