"""ONNX Runtime with another provider than the CPU: the contract, and what it does not tell.

It needs the build ``onnxruntime-openvino``, which takes the place of ``onnxruntime``: an environment of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_contract import EngineContract

from edgemill_core.errors import RequirementError
from edgemill_runtimes.engines import Engine, EngineSettings, load

ort = pytest.importorskip("onnxruntime")
if "OpenVINOExecutionProvider" not in ort.get_available_providers():
    pytest.skip("ONNX Runtime has no OpenVINO provider: pip install onnxruntime-openvino", allow_module_level=True)


class TestOnnxRuntimeOnOpenVino(EngineContract):
    runtime = "onnxruntime"
    device = "OPENVINO"
    feeds = {"x": np.random.default_rng(0).random((1, 3, 8, 32), np.float32)}  # noqa: RUF012

    def settings(self, **more: Any) -> EngineSettings:
        """With limits: this provider runs no picture that is smaller than its kernels, not even to be read back."""
        return super().settings(**{"limits": {"x": ((1, 9), None, (8, 640), (8, 640))}, **more})

    def test_it_computes_what_the_cpu_computes(self, engine: Engine, graph: Path) -> None:
        with load(self.runtime, graph) as other:
            np.testing.assert_allclose(engine.run(self.feeds)["p"], other.run(self.feeds)["p"], atol=1e-5)

    def test_what_it_compiled_is_named_and_cannot_be_vouched_for(self, engine: Engine) -> None:
        facts = engine.facts()
        assert facts.hidden
        assert not facts.macs
        assert facts.options["precision"] == "ACCURACY"
        for asked in ({"precision": "fp32"}, {"unfused": 0}):
            with pytest.raises(RequirementError, match="tells nothing of"):
                engine.require(**asked)  # type: ignore[arg-type]

    def test_threads_reach_the_provider(self, graph: Path) -> None:
        with load(self.runtime, graph, self.settings(threads=1)) as engine:
            assert engine.facts().options["num_of_threads"] == "1"
            assert engine.run(self.feeds)["p"].shape == (1, 4, 3)
