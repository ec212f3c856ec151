"""ONNX Runtime, with one execution provider asked for by name. The only module that imports ``onnxruntime``."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnxruntime as ort

from edgemill_core.errors import EngineError, MissingPartError, ModelError
from edgemill_core.tensors import Array, TensorSpec
from edgemill_runtimes.engines.base import Engine, check_shape
from edgemill_runtimes.engines.facts import Compiled, Layer, NodeTime
from edgemill_runtimes.engines.onnx_edges import Edges, read_edges

_PROVIDERS = {
    "CPU": "CPUExecutionProvider",
    "CUDA": "CUDAExecutionProvider",
    "TENSORRT": "TensorrtExecutionProvider",
    "OPENVINO": "OpenVINOExecutionProvider",
}
_OPTIONS = {
    "CUDA": {"use_tf32": "0"},
    "TENSORRT": {"trt_fp16_enable": "False"},
    "OPENVINO": {"device_type": "CPU", "precision": "ACCURACY"},
}
"""Said outright, so that no provider computes in less than the graph says."""
_COMPILING = ("TensorrtExecutionProvider", "OpenVINOExecutionProvider")
"""Providers that compile parts of the graph, and tell nothing of what they made of them."""
_DTYPES = {"float": "float32", "double": "float64", "float16": "float16"}
_PRECISIONS = {"double": "fp64", "float": "fp32", "float16": "fp16", "bfloat16": "bf16"}
_QUANTIZED = (
    "QLinearConv",
    "QLinearMatMul",
    "ConvInteger",
    "MatMulInteger",
    "DynamicQuantizeMatMul",
    "QGemm",
    "QAttention",
)
_HEAVY = ("Conv", "MatMul", "Gemm", "TreeEnsemble", *_QUANTIZED)


class OnnxRuntimeEngine(Engine):
    """``InferenceSession`` with one named provider. Another in its place is an error, not a slower default."""

    runtime = "onnxruntime"

    def _open(self) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        provider = self._provider()
        self._session = _new_session(self.graph, self._options(), provider, self._provider_options())
        # ORT only warns when a provider cannot start, and takes the CPU; it always adds the CPU at the end.
        if self._session.get_providers()[0] != provider:
            raise MissingPartError(
                f"ONNX Runtime has {provider}, but it does not start here",
                expected=provider,
                got=", ".join(self._session.get_providers()),
                fix="install the device's driver and libraries; see the versions with `edgemill doctor`",
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
                expected=" | ".join(_PROVIDERS) if provider is None else provider,
                got=f"this build offers {', '.join(ort.get_available_providers())}",
                fix="write device: CPU in the recipe, or install the build of ONNX Runtime for the device",
            )
        return provider

    def _provider_options(self) -> dict[str, str]:
        options = dict(_OPTIONS.get(self.settings.device, {}))
        if self.settings.device == "OPENVINO" and self.settings.threads is not None:
            options["num_of_threads"] = str(self.settings.threads)
        return options

    def _options(self) -> ort.SessionOptions:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        if self.settings.threads is not None:
            options.intra_op_num_threads = self.settings.threads
        elif self.settings.mode == "throughput":
            options.intra_op_num_threads = 1  # as many runs at once as there are cores, a thread each
        return options

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        values = self._session.run(self._names, feeds if type(feeds) is dict else dict(feeds))
        return dict(zip(self._names, values, strict=True))

    def _run_into(self, feeds: Mapping[str, Array], into: Mapping[str, Array]) -> dict[str, Array]:
        binding = self._session.io_binding()
        held = {name: np.ascontiguousarray(array) for name, array in feeds.items()}
        for name, array in held.items():
            binding.bind_cpu_input(name, array)
        for name, array in into.items():
            binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        try:
            self._session.run_with_iobinding(binding)
        except Exception:
            # Where a buffer has another shape than the result, ORT refuses; say so in our words.
            for name, array in self._run(feeds).items():
                check_shape(name, into[name], array.shape)
            raise
        return dict(into)

    def _compiled(self) -> Compiled:
        try:
            events, edges = self._profiled({spec.name: spec.example() for spec in self.inputs})
        except Exception as error:
            raise EngineError(
                f"ONNX Runtime failed on {self.graph.name}",
                expected="a run of zeros, to read the compiled graph",
                got=str(error).strip()[:400],
                fix="declare limits for its open dimensions: the least sizes are taken for the facts",
            ) from error
        asked = self._provider()
        hidden = tuple(_name(event) for event in events if asked in _COMPILING and event["args"]["provider"] == asked)
        layers = tuple(_layer(event, edges) for event in events if _is_heavy(event) and _name(event) not in hidden)
        elsewhere = {_name(e): e["args"]["provider"] for e in events if e["args"]["provider"] != asked}
        options = self._session.get_session_options()
        said = {"intra_op_num_threads": str(options.intra_op_num_threads), **self._provider_options()}
        return Compiled(ort.__version__, self.settings.device, layers, elsewhere, said, hidden)

    def _node_times(self, feeds: Mapping[str, Array], runs: int) -> tuple[NodeTime, ...]:
        events, _ = self._profiled(feeds, runs + 1)
        seen: dict[str, list[dict[str, Any]]] = {}
        for event in events:
            seen.setdefault(_name(event), []).append(event)
        # The first run warms up.
        return tuple(
            NodeTime((name,), each[0]["args"]["op_name"], _is_heavy(each[0]), min(_ms(each[1:])))
            for name, each in seen.items()
        )

    def _profiled(self, feeds: Mapping[str, Array], runs: int = 1) -> tuple[list[dict[str, Any]], Edges]:
        """Every node of the optimised graph in each run, and how that graph is wired."""
        with tempfile.TemporaryDirectory() as folder:
            options = self._options()
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder, "profile"))
            optimised, provider = Path(folder, "optimised.onnx"), self._provider()
            if provider not in _COMPILING:  # what they compile cannot be written
                options.optimized_model_filepath = str(optimised)
            session = _new_session(self.graph, options, provider, self._provider_options())
            for _ in range(runs):
                session.run(self._names, dict(feeds))
            events = json.loads(Path(session.end_profiling()).read_text())
            edges = read_edges(optimised.read_bytes() if optimised.is_file() else b"")
        return [event for event in events if event.get("name", "").endswith("_kernel_time")], edges

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


def _new_session(
    graph: Path, options: ort.SessionOptions, provider: str, provider_options: Mapping[str, str] = MappingProxyType({})
) -> ort.InferenceSession:
    try:
        return ort.InferenceSession(str(graph), options, providers=[(provider, dict(provider_options))])
    except Exception as error:  # ORT raises a dozen own types without a common root
        raise ModelError(
            f"ONNX Runtime cannot load {graph.name}",
            expected="an ONNX graph that this version runs",
            got=str(error).strip()[:400],
            fix=f"check the file; ONNX Runtime {ort.__version__} is installed here",
        ) from error


def _name(event: Mapping[str, Any]) -> str:
    return str(event["name"]).removesuffix("_kernel_time")


def _ms(events: list[dict[str, Any]]) -> list[float]:
    return [event["dur"] / 1e3 for event in events]


def _is_heavy(event: Mapping[str, Any]) -> bool:
    return any(word in event["args"]["op_name"] for word in _HEAVY)


def _layer(event: Mapping[str, Any], edges: Edges) -> Layer:
    name, kind = _name(event), event["args"]["op_name"]
    if any(word in kind for word in _QUANTIZED):
        return Layer(name, "int8", _macs(event, edges))
    written = next(iter(event["args"]["output_type_shape"][0]))
    precision = _PRECISIONS.get(written, written)
    return Layer(name, precision, _macs(event, edges), edges.is_quantized(name))


def _macs(event: Mapping[str, Any], edges: Edges) -> int | None:
    kind = event["args"]["op_name"]
    out, data = (_shapes(event, key)[0] for key in ("output_type_shape", "input_type_shape"))
    if "Conv" not in kind:
        return None if "Tree" in kind else prod(out) * data[-1]
    weights = edges.weights(_name(event)) or _shapes(event, "input_type_shape")[1]
    return prod(data if "Transpose" in kind else out) * prod(weights[1:])


def _shapes(event: Mapping[str, Any], key: str) -> list[list[int]]:
    return [shape for told in event["args"][key] for shape in told.values()]


def _spec(node: Any) -> TensorSpec:
    dtype = node.type.removeprefix("tensor(").removesuffix(")")
    shape = tuple(d if isinstance(d, int) and d > 0 else None for d in node.shape)
    return TensorSpec(node.name, _DTYPES.get(dtype, dtype), shape)
