"""OpenVINO. The only module that imports ``openvino``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino as ov

from edgemill_core.errors import EngineError, MissingPartError, ModelError
from edgemill_core.tensors import Array, TensorSpec
from edgemill_runtimes.engines.base import Engine

_HEAVY = ("Convolution", "Deconvolution", "FullyConnected", "MatMul")


class OpenVinoEngine(Engine):
    """A compiled model with one infer request, tuned for latency.

    The inference precision is always set to f32: precision lives in the graph, and OpenVINO's own default changes
    results on machines with BF16.
    """

    runtime = "openvino"

    def _open(self) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        core = ov.Core()
        if self.settings.device not in core.available_devices:
            raise MissingPartError(
                f"OpenVINO has no device {self.settings.device!r} here",
                expected=self.settings.device,
                got=f"this machine offers {', '.join(core.available_devices) or 'none'}",
                fix="name one of these in the recipe, or install the device's driver",
            )
        options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if self.settings.threads is not None:
            options["INFERENCE_NUM_THREADS"] = self.settings.threads
        try:
            model = core.read_model(self.graph)
            # Compiling merges tensors, and a merged output answers to several names; the graph's own is the contract.
            names = [port.any_name for port in (*model.inputs, *model.outputs)]
            self._compiled = core.compile_model(model, self.settings.device, options)
        except Exception as error:  # OpenVINO raises bare RuntimeError and its subclasses
            raise ModelError(
                f"OpenVINO cannot load {self.graph.name}",
                expected="an ONNX graph that this version runs",
                got=str(error).strip()[-400:],
                fix=f"check the file; OpenVINO {ov.__version__} is installed here",
            ) from error
        self._request = self._compiled.create_infer_request()
        ports = (*self._compiled.inputs, *self._compiled.outputs)
        specs = [_spec(name, port) for name, port in zip(names, ports, strict=True)]
        inputs = len(self._compiled.inputs)
        return tuple(specs[:inputs]), tuple(specs[inputs:])

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        try:
            self._request.infer([feeds[spec.name] for spec in self.inputs], share_inputs=True)
        except Exception as error:
            raise EngineError(
                f"OpenVINO failed on {self.graph.name}",
                expected="outputs",
                got=str(error).strip()[-400:],
                fix="run `edgemill check` on the bundle",
            ) from error
        return {
            spec.name: np.array(self._request.get_output_tensor(index).data) for index, spec in enumerate(self.outputs)
        }

    def _facts(self) -> tuple[str, str, Mapping[str, int]]:
        device = self._compiled.get_property("EXECUTION_DEVICES")
        return ov.__version__, ", ".join(device), self._layers()

    def _layers(self) -> Mapping[str, int]:
        """Compute layers of the runtime model, by the precision their kernel computes in."""
        found: Counter[str] = Counter()
        for node in self._compiled.get_runtime_model().get_ops():
            info = node.get_rt_info()
            if str(info["layerType"].astype(str)) in _HEAVY:
                precision = str(info["runtimePrecision"].astype(str)).lower()
                found["int8" if precision in ("i8", "u8") else {"f32": "fp32"}.get(precision, precision)] += 1
        return found

    def _close(self) -> None:
        del self._request, self._compiled


def _spec(name: str, port: Any) -> TensorSpec:
    shape = tuple(d.get_length() if d.is_static else None for d in port.partial_shape)
    return TensorSpec(name, port.element_type.to_dtype().name, shape)
