"""OpenVINO. The only module that imports ``openvino``."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from math import prod
from typing import Any

import numpy as np
import openvino as ov

from edgemill_core.errors import MissingPartError, ModelError
from edgemill_core.precision_hint import PrecisionHint
from edgemill_core.tensors import Array, TensorSpec
from edgemill_runtimes.engines.base import Engine, check_shape
from edgemill_runtimes.engines.facts import Compiled, Layer, NodeTime

_HEAVY = ("Convolution", "Deconvolution", "FullyConnected", "MatMul")
_PRECISIONS = {"f64": "fp64", "f32": "fp32", "f16": "fp16", "bf16": "bf16", "i8": "int8", "u8": "int8"}
_GROUP_SIZE = "DYNAMIC_QUANTIZATION_GROUP_SIZE"
_OPTIONS = ("PERFORMANCE_HINT", "INFERENCE_PRECISION_HINT", "NUM_STREAMS", "INFERENCE_NUM_THREADS", _GROUP_SIZE)


class OpenVinoEngine(Engine):
    """A compiled model, with as many infer requests as there are runs at once.

    The inference precision is always set, to f32 if nothing else is told: precision lives in the graph, and OpenVINO's
    own default changes results on machines with BF16. So does the quantization of activations that it begins by itself
    where weights are stored in INT8, which is switched off.
    """

    runtime = "openvino"
    obeyed_hints: tuple[PrecisionHint, ...] = ("bf16",)

    def _open(self) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        core = ov.Core()
        self._check_device(core)
        options: dict[str, Any] = {
            "PERFORMANCE_HINT": self.settings.mode.upper(),
            "INFERENCE_PRECISION_HINT": self.settings.precision_hint or "f32",
        }
        if all(_GROUP_SIZE in core.get_property(device, "SUPPORTED_PROPERTIES") for device in self._devices(core)):
            options[_GROUP_SIZE] = 0
        if self.settings.threads is not None:
            options["INFERENCE_NUM_THREADS"] = self.settings.threads
        if self.settings.cache is not None:
            options["CACHE_DIR"] = str(self.settings.cache)
        with self._loading():
            model = core.read_model(self.graph)
            # Compiling merges tensors, and a merged output answers to several names; the graph's own is the contract.
            names = [port.any_name for port in (*model.inputs, *model.outputs)]
            self._compiled_model = core.compile_model(model, self.settings.device, options)
        self._check_hint()
        self._options = options
        self._idle: deque[_Request] = deque()
        ports = (*self._compiled_model.inputs, *self._compiled_model.outputs)
        specs = [_spec(name, port) for name, port in zip(names, ports, strict=True)]
        inputs = len(self._compiled_model.inputs)
        return tuple(specs[:inputs]), tuple(specs[inputs:])

    def _check_device(self, core: ov.Core) -> None:
        asked, here = self.settings.device, core.available_devices
        if not set(self._devices(core)) <= set(here):
            raise MissingPartError(
                f"OpenVINO has no device {asked!r} here",
                expected=asked,
                got=f"this machine offers {', '.join(here) or 'none'}",
                fix="name one of these in the recipe, or install the device's driver",
            )

    def _devices(self, core: ov.Core) -> list[str]:
        """Those that the engine may run on."""
        chooser, _, named = self.settings.device.partition(":")
        if chooser not in ("AUTO", "MULTI", "HETERO"):
            return [self.settings.device]
        return named.split(",") if named else list(core.available_devices)

    def _check_hint(self) -> None:
        """OpenVINO takes a precision that a device does not have, and computes in FP32 without a word."""
        hint, model = self.settings.precision_hint, self._compiled_model
        if hint is None:
            return
        told = "INFERENCE_PRECISION_HINT" in model.get_property("SUPPORTED_PROPERTIES")
        found = _PRECISIONS.get(_text(model.get_property("INFERENCE_PRECISION_HINT")), "") if told else "nothing told"
        if found != hint:
            raise MissingPartError(
                f"OpenVINO does not compute in {hint} on {self.settings.device!r}",
                expected=f"a device that OpenVINO has {hint} for, by its own name",
                got=found,
                fix="use another variant of the bundle here, or name the device that it was built for",
            )

    @contextmanager
    def _loading(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # OpenVINO raises bare RuntimeError and its subclasses
            raise ModelError(
                f"OpenVINO cannot load {self.graph.name}",
                expected="an ONNX graph that this version runs",
                got=str(error).strip()[-400:],
                fix=f"check the file; OpenVINO {ov.__version__} is installed here",
            ) from error

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        with self._request() as request:
            self._feed(request, feeds)
            request.native.infer(share_outputs=True)
            return self._results(request)

    def _run_into(self, feeds: Mapping[str, Array], into: Mapping[str, Array]) -> dict[str, Array]:
        with self._request() as request:
            self._feed(request, feeds)
            # A buffer may only be lent where the size is known before: OpenVINO writes over the end of one too small.
            lent = [index for index, spec in enumerate(self.outputs) if None not in spec.shape]
            for index in lent:
                request.native.set_output_tensor(index, ov.Tensor(into[self.outputs[index].name], shared_memory=True))
            try:
                request.native.infer(share_outputs=True)
                for index, spec in enumerate(self.outputs):
                    if index not in lent:
                        found = request.native.get_output_tensor(index).data
                        check_shape(spec.name, into[spec.name], found.shape)
                        np.copyto(into[spec.name], found)
            finally:
                for index in lent:
                    request.native.set_output_tensor(index, request.own[index])
        return dict(into)

    def _start(self, feeds: Mapping[str, Array]) -> _Request:
        request = self._take()
        self._feed(request, feeds)
        request.native.start_async()
        return request

    def _finish(self, started: _Request) -> dict[str, Array]:
        started.native.wait()
        found = self._results(started)
        self._idle.append(started)
        return found

    def _best_depth(self) -> int:
        return int(self._compiled_model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")) + 1

    def _feed(self, request: _Request, feeds: Mapping[str, Array]) -> None:
        """Let the request read the feeds where they lie, as OpenVINO's own ``infer(feeds)`` does in 50 us of Python."""
        request.feeding = [_shared(feeds[spec.name]) for spec in self.inputs]
        for index, tensor in enumerate(request.feeding):
            request.native.set_input_tensor(index, tensor)

    def _results(self, request: _Request) -> dict[str, Array]:
        tensors = [request.native.get_output_tensor(index) for index in range(len(self.outputs))]
        return {spec.name: np.array(tensor.data) for spec, tensor in zip(self.outputs, tensors, strict=True)}

    def _take(self) -> _Request:
        try:
            return self._idle.pop()
        except IndexError:
            return _Request(self._compiled_model.create_infer_request(), len(self.outputs))

    @contextmanager
    def _request(self) -> Iterator[_Request]:
        request = self._take()
        yield request  # after a failure it is not used again
        self._idle.append(request)

    def _compiled(self) -> Compiled:
        model = self._compiled_model
        device = ", ".join(model.get_property("EXECUTION_DEVICES"))
        known = set(model.get_property("SUPPORTED_PROPERTIES"))
        options = {name: _text(model.get_property(name)) for name in _OPTIONS if name in known}
        return Compiled(ov.__version__, device, self._layers(), {}, options)

    def _layers(self) -> tuple[Layer, ...]:
        """Compute layers of the runtime model, with what they were before compiling."""
        core = ov.Core()
        read, compiled = core.read_model(self.graph), self._compiled_model
        quantized = {op.get_friendly_name() for op in read.get_ordered_ops() if _is_quantized(op)}
        if any(None in spec.shape for spec in self.inputs):
            shapes = {i: ov.PartialShape(list(spec.example().shape)) for i, spec in enumerate(self.inputs)}
            with suppress(RuntimeError):  # too small for this graph: the layers are told, without their work
                read.reshape({read.inputs[i]: shape for i, shape in shapes.items()})
                compiled = core.compile_model(read, self.settings.device, self._options)
        nodes = [(node, _told(node)) for node in compiled.get_runtime_model().get_ordered_ops()]
        return tuple(_layer(node, told, quantized) for node, told in nodes if told["layerType"] in _HEAVY)

    def _node_times(self, feeds: Mapping[str, Array], runs: int) -> tuple[NodeTime, ...]:
        core = ov.Core()
        watched = core.compile_model(
            core.read_model(self.graph), self.settings.device, {**self._options, "PERF_COUNT": True}
        )
        nodes = watched.get_runtime_model().get_ordered_ops()
        told = {node.get_friendly_name(): _told(node) for node in nodes}
        request = watched.create_infer_request()
        given = [feeds[spec.name] for spec in self.inputs]
        seen: dict[str, list[float]] = {}
        for turn in range(runs + 1):  # the first one warms up
            request.infer(given)
            for node in request.profiling_info if turn else ():
                if node.status == ov.ProfilingInfo.Status.EXECUTED:
                    seen.setdefault(node.node_name, []).append(node.real_time.total_seconds() * 1e3)
        return tuple(_node_time(name, told.get(name), times) for name, times in seen.items())

    def _close(self) -> None:
        self._idle.clear()
        del self._compiled_model


class _Request:
    """An infer request with the output tensors that it was born with, and what it was fed last: it points there."""

    def __init__(self, native: ov.InferRequest, outputs: int) -> None:
        self.native = native
        self.feeding: list[Any] = []
        self.own = [native.get_output_tensor(index) for index in range(outputs)]


def _shared(array: Array) -> Any:
    flags = array.flags
    return ov.Tensor(
        array if flags.c_contiguous and flags.writeable else np.array(array, order="C"), shared_memory=True
    )


def _told(node: ov.Node) -> dict[str, str]:
    info = node.get_rt_info()
    keys = ("layerType", "runtimePrecision", "primitiveType", "originalLayersNames")
    return {key: str(info[key].astype(str)) if key in info else "" for key in keys}


def _precision(told: Mapping[str, str]) -> str:
    """What a layer computes in.

    Of a product whose weights alone are INT8, OpenVINO tells these as its precision; the name of its kernel ends in
    what it computes in ("brgemm_avx512_f32"), activations being left alone as we ask for.
    """
    said = told["runtimePrecision"].lower()
    kernel = told["primitiveType"].lower().rpartition("_")[2]
    if told["layerType"] == "FullyConnected" and kernel in ("f32", "bf16", "f16"):
        said = kernel
    return _PRECISIONS.get(said, said)


def _layer(node: ov.Node, told: Mapping[str, str], quantized: set[str]) -> Layer:
    precision = _precision(told)
    originals = set(told["originalLayersNames"].split(","))
    return Layer(
        node.get_friendly_name(), precision, _macs(node, told), precision != "int8" and bool(originals & quantized)
    )


def _node_time(name: str, told: Mapping[str, str] | None, times: list[float]) -> NodeTime:
    kind = told["layerType"] if told else ""
    originals = [one for one in told["originalLayersNames"].split(",") if one] if told else []
    return NodeTime(tuple(dict.fromkeys([name, *originals])), kind, kind in _HEAVY, min(times))


def _macs(node: ov.Node, told: Mapping[str, str]) -> int | None:
    ports = (*node.outputs(), *(port.get_source_output() for port in node.inputs()))
    shapes = [port.get_partial_shape() for port in ports]
    if any(shape.is_dynamic for shape in shapes[:3]):
        return None
    out, data, weights = ([int(size) for size in shape.to_shape()] for shape in shapes[:3])
    if told["layerType"] == "MatMul":
        return prod(out) * data[-1]
    if told["layerType"] == "FullyConnected":
        return prod(out) * prod(weights) // out[-1]
    if told["layerType"] == "Deconvolution":
        return prod(data) * prod(weights) // data[1]
    return prod(out) * prod(weights) // out[1]


def _is_quantized(op: ov.Node) -> bool:
    """Whether ``op`` computes on a dequantized activation with dequantized weights.

    A layer that was left in float on purpose may take a dequantized activation from the layer before it.
    """
    kind = op.get_type_name()
    if not (kind == "MatMul" or kind.endswith(("Convolution", "ConvolutionBackpropData"))):
        return False
    return {_dequantized(op.input_value(index).get_node()) for index in range(2)} == {"Convert", "Constant"}


def _dequantized(node: ov.Node) -> str | None:
    """What Multiply(Subtract(Convert(…))) dequantizes: "Convert" for an activation, "Constant" for weights.

    The Convert of a picture that is normalised in the graph looks alike, but has a Parameter before it.
    """
    while node.get_type_name() in ("Multiply", "Subtract", "Reshape") and node.get_input_size():
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Convert":
        return None
    before = str(node.input_value(0).get_node().get_type_name())
    return before if before in ("Convert", "Constant") else None


def _text(value: Any) -> str:
    return str(value.to_string()) if isinstance(value, ov.Type) else str(value)


def _spec(name: str, port: Any) -> TensorSpec:
    shape = tuple(d.get_length() if d.is_static else None for d in port.partial_shape)
    return TensorSpec(name, port.element_type.to_dtype().name, shape)
