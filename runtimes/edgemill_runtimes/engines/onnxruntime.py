"""ONNX Runtime on the CPU. The only module that imports ``onnxruntime``."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from edgemill_core.errors import EngineError, MissingPartError, ModelError
from edgemill_core.tensors import Array, TensorSpec
from edgemill_runtimes.engines.base import Engine

_PROVIDERS = {"CPU": "CPUExecutionProvider"}
_QUANTIZED = ("QLinear", "ConvInteger", "MatMulInteger", "QGemm", "QAttention")


class OnnxRuntimeEngine(Engine):
    """``InferenceSession`` with one named provider and no other to fall back to."""

    runtime = "onnxruntime"

    def _open(self) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        provider = self._provider()
        self._session = _new_session(self.graph, self._options(), provider)
        if self._session.get_providers() != [provider]:
            raise EngineError(
                "ONNX Runtime chose another provider than asked",
                expected=provider,
                got=", ".join(self._session.get_providers()),
                fix="see the versions with `edgemill doctor`",
            )
        inputs = tuple(_spec(node) for node in self._session.get_inputs())
        outputs = tuple(_spec(node) for node in self._session.get_outputs())
        self._names = [spec.name for spec in outputs]
        return inputs, outputs

    def _provider(self) -> str:
        provider = _PROVIDERS.get(self.settings.device)
        if provider is None or provider not in ort.get_available_providers():
            raise MissingPartError(
                f"ONNX Runtime has no device {self.settings.device!r} here",
                expected=" | ".join(_PROVIDERS),
                got=f"this build offers {', '.join(ort.get_available_providers())}",
                fix="write device: CPU in the recipe",
            )
        return provider

    def _options(self) -> ort.SessionOptions:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        if self.settings.threads is not None:
            options.intra_op_num_threads = self.settings.threads
        return options

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return dict(zip(self._names, self._values(self._session, feeds), strict=True))

    def _values(self, session: ort.InferenceSession, feeds: Mapping[str, Array]) -> list[Array]:
        try:
            values: list[Array] = session.run(self._names, dict(feeds))
        except Exception as error:
            raise EngineError(
                f"ONNX Runtime failed on {self.graph.name}",
                expected="outputs",
                got=str(error).strip()[:400],
                fix="run `edgemill check` on the bundle",
            ) from error
        return values

    def _facts(self) -> tuple[str, str, Mapping[str, int]]:
        return ort.__version__, self.settings.device, self._layers()

    def _layers(self) -> Mapping[str, int]:
        """Compute nodes of the optimised graph that ORT really runs, read back through its profiler."""
        with tempfile.TemporaryDirectory() as folder:
            options = self._options()
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder, "profile"))
            session = _new_session(self.graph, options, self._provider())
            feeds = {spec.name: np.zeros([d or 1 for d in spec.shape], spec.dtype) for spec in self.inputs}
            self._values(session, feeds)
            events = json.loads(Path(session.end_profiling()).read_text())
        return Counter(_precision(event) for event in events if _computes(event))

    def _close(self) -> None:
        del self._session


def write_optimised(graph: Path, target: Path) -> None:
    """Write ``graph`` with ONNX Runtime's basic optimisations applied, the level that no machine changes.

    Raises:
        ModelError: ONNX Runtime cannot load the graph.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    _new_session(graph, options, _PROVIDERS["CPU"])


def _new_session(graph: Path, options: ort.SessionOptions, provider: str) -> ort.InferenceSession:
    try:
        return ort.InferenceSession(str(graph), options, providers=[provider])
    except Exception as error:  # ORT raises a dozen own types without a common root
        raise ModelError(
            f"ONNX Runtime cannot load {graph.name}",
            expected="an ONNX graph that this version runs",
            got=str(error).strip()[:400],
            fix=f"check the file; ONNX Runtime {ort.__version__} is installed here",
        ) from error


def _computes(event: dict[str, Any]) -> bool:
    name = event.get("args", {}).get("op_name", "")
    heavy = any(word in name for word in ("Conv", "MatMul", "Gemm", "TreeEnsemble", *_QUANTIZED))
    return bool(event.get("name", "").endswith("_kernel_time")) and heavy


def _precision(event: dict[str, Any]) -> str:
    if any(word in event["args"]["op_name"] for word in _QUANTIZED):
        return "int8"
    return "fp64" if "double" in str(event["args"].get("output_type_shape", "")) else "fp32"


def _spec(node: Any) -> TensorSpec:
    dtypes = {"float": "float32", "double": "float64", "float16": "float16"}
    dtype = node.type.removeprefix("tensor(").removesuffix(")")
    shape = tuple(d if isinstance(d, int) and d > 0 else None for d in node.shape)
    return TensorSpec(node.name, dtypes.get(dtype, dtype), shape)
