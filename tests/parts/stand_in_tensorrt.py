"""A stand-in for TensorRT's bindings on a stand-in for its driver: ONNX Runtime computes, at the stream's own time.

It shows what is ours: order, buffers, streams, threads, errors, freeing. It shows nothing of TensorRT. A plan of it is
the header of a real one, a line of JSON, and the graph.
"""

from __future__ import annotations

import ctypes
import enum
import hashlib
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from edgemill_core.tensors import Limits
from edgemill_runtimes.nvidia.plan_facts import NvidiaRuntime, PlanFacts, facts_beside
from edgemill_runtimes.nvidia.plans import graph_digest

VERSIONS: dict[NvidiaRuntime, str] = {"tensorrt": "10.3.0", "tensorrt_rtx": "1.7.1.116"}
_NAMES = {"tensor(float)": "FLOAT", "tensor(float16)": "HALF", "tensor(uint8)": "UINT8", "tensor(int64)": "INT64",
          "tensor(double)": "DOUBLE"}  # fmt: skip
_DTYPES = {"FLOAT": np.float32, "HALF": np.float16, "UINT8": np.uint8, "INT64": np.int64}
_WORK = ctypes.CFUNCTYPE(None)


def install(folder: Path) -> None:
    """What pip would leave of both packages."""
    for name, version in VERSIONS.items():
        (folder / f"{name}.py").write_text(f"from stand_in_tensorrt import *\n__version__ = {version!r}\n")


def write_plan(
    graph: Path,
    runtime: NvidiaRuntime,
    limits: Mapping[str, Limits] | None = None,
    capability: str = "8.7",
    plan: Path | None = None,
    **orders: Any,
) -> Path:
    """A plan of ``graph``, with its facts, beside it or at ``plan``.

    Args:
        orders: what the stand-in is to do wrong, or to tell.
    """
    told = json.dumps({"limits": dict(limits or {}), **orders}).encode() + b"\n"
    body = told + graph.read_bytes()
    version = bytes(int(part) % 256 for part in f"{VERSIONS[runtime]}.0".split(".")[:4])
    tag = {"tensorrt": b"ftrt", "tensorrt_rtx": b"vtrt"}[runtime]
    bits = 0x7E if runtime == "tensorrt_rtx" else 0
    content = struct.pack("<4sIQQ4s4sQ24x", tag, 0, 2, 64 + len(body), version, tag, bits) + body
    plan = plan or graph.with_name("engine.plan")
    plan.write_bytes(content)
    facts = PlanFacts(
        runtime=runtime,
        version=VERSIONS[runtime],
        compute_capabilities=(capability,),
        graph=graph_digest(graph),
        dla=orders.get("dla"),
        plan=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
    )
    facts_beside(plan).write_text(facts.model_dump_json())
    return plan


class ILogger:
    Severity = enum.IntEnum("Severity", ["INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE"], start=0)

    def log(self, severity: Any, msg: str) -> None:
        raise NotImplementedError


DataType = enum.Enum("DataType", [*_DTYPES, "INT8", "INT32", "BOOL", "DOUBLE", "BF16"])
TensorIOMode = enum.Enum("TensorIOMode", ["NONE", "INPUT", "OUTPUT"])
TensorLocation = enum.Enum("TensorLocation", ["DEVICE", "HOST"])
TensorFormat = enum.Enum("TensorFormat", ["LINEAR", "CHW32"])
LayerInformationFormat = enum.Enum("LayerInformationFormat", ["ONELINE", "JSON"])


class Runtime:
    num_DLA_cores = 2  # noqa: N815 (TensorRT's own name)
    DLA_core = -1

    def __init__(self, logger: ILogger) -> None:
        self.logger = logger

    def deserialize_cuda_engine(self, content: bytes) -> _Engine | None:
        told, _, graph = content[64:].partition(b"\n")
        orders = json.loads(told)
        if self.DLA_core != orders.get("dla", -1):
            self.logger.log(ILogger.Severity.ERROR, "a plan for another core")
            return None
        if "refuse" in orders:
            self.logger.log(ILogger.Severity.ERROR, orders["refuse"])
            return None
        self.logger.log(ILogger.Severity.WARNING, "a plan of a stand-in")
        return _Engine(self, orders, graph)


class _Engine:
    def __init__(self, runtime: Runtime, orders: dict[str, Any], graph: bytes) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        self.logger, self.orders = runtime.logger, orders
        self.session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.taken = {node.name: node for node in self.session.get_inputs()}
        self.given = {node.name: node for node in self.session.get_outputs()}
        self.num_io_tensors = len(self.taken) + len(self.given)
        self.cuda = ctypes.CDLL(os.environ["STAND_IN_CUDA"])
        self.cuda.stand_in_host.restype = ctypes.c_void_p
        self.cuda.stand_in_host.argtypes = self.cuda.stand_in_size.argtypes = [ctypes.c_uint64]
        self.cuda.stand_in_size.restype = ctypes.c_size_t
        self.cuda.stand_in_enqueue.argtypes = [ctypes.c_void_p, _WORK]

    device_memory_size_v2 = 2_500_000

    def get_tensor_name(self, index: int) -> str:
        return [*self.taken, *self.given][index]

    def _node(self, name: str) -> Any:
        return self.taken.get(name) or self.given[name]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.taken else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType[_NAMES[self._node(name).type]]

    def get_tensor_format(self, name: str) -> TensorFormat:
        return TensorFormat[self.orders.get("format", "LINEAR")]

    def get_tensor_format_desc(self, name: str) -> str:
        return "a format"

    def get_tensor_location(self, name: str) -> TensorLocation:
        return TensorLocation[self.orders.get("location", "DEVICE")]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(size if isinstance(size, int) else -1 for size in self._node(name).shape)

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        assert profile == 0
        limits = self.orders["limits"].get(name) or [None] * len(self.get_tensor_shape(name))
        pairs = [each or (size, size) for each, size in zip(limits, self.get_tensor_shape(name), strict=True)]
        return [tuple(low for low, _ in pairs), tuple(high for _, high in pairs), tuple(high for _, high in pairs)]

    def create_execution_context(self) -> _Context | None:
        if "no context" in self.orders:
            self.logger.log(ILogger.Severity.ERROR, self.orders["no context"])
            return None
        return _Context(self)

    def create_engine_inspector(self) -> _Inspector:
        return _Inspector(self)


class _Inspector:
    execution_context: _Context

    def __init__(self, engine: _Engine) -> None:
        self.engine = engine

    def get_engine_information(self, form: LayerInformationFormat) -> str:
        assert form is LayerInformationFormat.JSON
        assert self.execution_context.shapes
        return json.dumps({"Layers": self.engine.orders.get("layers", ["conv"]), "Bindings": []})


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self.engine = engine
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.work: list[Any] = []

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        least, _, most = self.engine.get_tensor_profile_shape(name, 0)
        if not all(low <= size <= high for low, size, high in zip(least, shape, most, strict=True)):
            self.engine.logger.log(ILogger.Severity.ERROR, f"{shape} is outside of the profile")
            return False
        self.shapes[name] = tuple(shape)
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if "data dependent" in self.engine.orders:
            return (-1,)
        zeros = {
            node: np.zeros(self.shapes[node], _DTYPES[self.engine.get_tensor_dtype(node).name])
            for node in self.engine.taken
        }
        return self.engine.session.run([name], zeros)[0].shape

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        if "no run" in self.engine.orders:
            self.engine.logger.log(ILogger.Severity.ERROR, self.engine.orders["no run"])
            return False
        shapes = dict(self.shapes)
        self.work = [*self.work[-3:], _WORK(lambda: self._compute(shapes))]  # kept alive until long after
        self.engine.cuda.stand_in_enqueue(stream, self.work[-1])
        return True

    def _compute(self, shapes: dict[str, tuple[int, ...]]) -> None:
        feeds = {name: self._at(name, shape) for name, shape in shapes.items()}
        names = list(self.engine.given)
        for name, found in zip(names, self.engine.session.run(names, feeds), strict=True):
            self._at(name, found.shape)[...] = found

    def _at(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        dtype = np.dtype(_DTYPES[self.engine.get_tensor_dtype(name).name])
        size = int(np.prod(shape)) * dtype.itemsize
        assert self.engine.cuda.stand_in_size(self.addresses[name]) >= size
        raw = (ctypes.c_char * max(size, 1)).from_address(self.engine.cuda.stand_in_host(self.addresses[name]))
        return np.frombuffer(raw, dtype, int(np.prod(shape))).reshape(shape)
