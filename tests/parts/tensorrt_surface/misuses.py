"""A piece of code in the style of ours, and the ways to get it wrong that must be seen."""

from __future__ import annotations

from typing import NamedTuple

GOOD = '''
"""Makes a plan, and runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_FLAGS = ("EXPLICIT_BATCH", "STRONGLY_TYPED")


@dataclass(frozen=True)
class Parsed:
    builder: Any
    network: Any


def parse(trt: Any, graph: str) -> Parsed:
    log = _log(trt)
    builder = trt.Builder(log)
    flags = trt.NetworkDefinitionCreationFlag
    network = builder.create_network(sum(1 << int(getattr(flags, name)) for name in _FLAGS if hasattr(flags, name)))
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(graph):
        raise ValueError([parser.get_error(index).desc() for index in range(parser.num_errors)])
    return Parsed(builder, network)


def build(trt: Any, parsed: Parsed, runtime: str, told: bytes) -> Any:
    config = parsed.builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, 1 << 30)
    if hasattr(trt.BuilderFlag, "FP16"):
        config.set_flag(trt.BuilderFlag.FP16)
    if runtime == "tensorrt_rtx":
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    cache = config.create_timing_cache(told)
    config.set_timing_cache(cache, ignore_mismatch=False)
    level = getattr(trt, "TilingOptimizationLevel", None)
    if level is not None and hasattr(config, "tiling_optimization_level"):
        config.tiling_optimization_level = level.NONE
    config.progress_monitor = _monitor(trt)
    return parsed.builder.build_serialized_network(parsed.network, config)


def size(trt: Any, graph: str) -> int:
    return int(build(trt, parse(trt, graph), "tensorrt", b"").nbytes)


class Running:
    def __init__(self, trt: Any, plan: bytes) -> None:
        self._trt = trt
        self._engine = trt.Runtime(_log(trt)).deserialize_cuda_engine(plan)
        self._context = self._engine.create_execution_context()

    def outputs(self) -> list[str]:
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        return [name for name in names if self._engine.get_tensor_mode(name) == self._trt.TensorIOMode.OUTPUT]

    def run(self, name: str, shape: tuple[int, ...], address: int, stream: int) -> bool:
        return _point(self._context, name, shape, address) and self._context.execute_async_v3(stream)


def memory(module: Any, engine: Any) -> tuple[int, bool]:
    on_gpu = engine.get_tensor_location(engine.get_tensor_name(0)) == module.TensorLocation.DEVICE
    size = engine.device_memory_size_v2 if hasattr(engine, "device_memory_size_v2") else engine.device_memory_size
    return int(size), on_gpu


def _point(context: Any, name: str, shape: tuple[int, ...], address: int) -> bool:
    return bool(context.set_input_shape(name, shape) and context.set_tensor_address(name, address))


def _log(trt: Any) -> Any:
    class Log(trt.ILogger):
        def log(self, severity: Any, message: str) -> None:
            if severity == trt.ILogger.ERROR:
                raise ValueError(message)

    return Log()


def _monitor(trt: Any) -> Any:
    class Monitor(trt.IProgressMonitor):
        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None: ...

        def phase_finish(self, phase_name: str) -> None: ...

        def step_complete(self, phase_name: str, step: int) -> bool:
            return True

    return Monitor()
'''


class Misuse(NamedTuple):
    """One way to get it wrong.

    Attributes:
        right, wrong: what is written instead of what.
        said: a pattern in the complaint.
        only: versions that it is wrong in, where that is not all; by how their stubs begin.
    """

    right: str
    wrong: str
    said: str
    only: tuple[str, ...] = ("",)


MISUSES = {
    "a misspelled method": Misuse(
        "set_memory_pool_limit(", "set_memory_pool_limits(", 'has no attribute "set_memory_pool_limits"'
    ),
    "a misspelled method of what a parameter is": Misuse(
        "context.set_tensor_address", "context.set_tensor_adress", 'has no attribute "set_tensor_adress"'
    ),
    "a misspelled method of what is kept": Misuse(
        "self._engine.get_tensor_mode", "self._engine.tensor_mode", 'has no attribute "tensor_mode"'
    ),
    "a misspelled property that is set": Misuse(
        "config.profiling_verbosity", "config.profile_verbosity", 'has no attribute "profile_verbosity"'
    ),
    "a misspelled property of what a function gives": Misuse('b"").nbytes', 'b"").nbyte', 'has no attribute "nbyte"'),
    "a misspelled enum member": Misuse("WORKSPACE,", "WORKSPACES,", 'has no attribute "WORKSPACES"'),
    "a misspelled enum member, of the module that is kept": Misuse(
        "_trt.TensorIOMode.OUTPUT", "_trt.TensorIOMode.OUTPUTS", 'has no attribute "OUTPUTS"'
    ),
    "a misspelled class": Misuse("trt.OnnxParser", "trt.ONNXParser", 'has no attribute "ONNXParser"'),
    "a missing argument": Misuse("(cache, ignore_mismatch=False)", "(cache)", "Missing positional argument"),
    "an argument too many": Misuse("create_timing_cache(told)", "create_timing_cache(told, 0)", "Too many arguments"),
    "arguments in the wrong order": Misuse(
        "(parsed.network, config)", "(config, parsed.network)", "incompatible type|No overload"
    ),
    "a keyword that does not exist": Misuse("ignore_mismatch=", "ignore_mismatches=", "Unexpected keyword argument"),
    "an attribute that 11 no longer has, without a gate": Misuse(
        'if hasattr(trt.BuilderFlag, "FP16"):',
        "if runtime:",
        'has no attribute "FP16"',
        ("tensorrt_bindings_11", "tensorrt_rtx"),
    ),
    "the old name of an attribute, where only newer versions are known by the new one": Misuse(
        "else engine.device_memory_size",
        "else engine.device_memory_sizes",
        'has no attribute "device_memory_sizes"',
        ("tensorrt_bindings_10_0",),
    ),
    "the old name of an attribute, without a gate": Misuse(
        'if hasattr(engine, "device_memory_size_v2") else engine.device_memory_size',
        "or engine.device_memory_size",
        'has no attribute "device_memory_size"',
        ("tensorrt_bindings_11", "tensorrt_rtx"),
    ),
    "the new name of an attribute, without a gate": Misuse(
        'if hasattr(engine, "device_memory_size_v2") else engine.device_memory_size',
        "",
        'has no attribute "device_memory_size_v2"',
        ("tensorrt_bindings_10_0",),
    ),
    "an attribute that one runtime alone has, without a gate": Misuse(
        'if runtime == "tensorrt_rtx":',
        "if runtime:",
        'no attribute "num_compute_capabilities"',
        ("tensorrt_bindings",),
    ),
    "a gate that never opens": Misuse('BuilderFlag, "FP16")', 'BuilderFlag, "FP_16")', "no version has FP_16"),
    "a gate that never opens, among several": Misuse(
        '"STRONGLY_TYPED")', '"STRONGLY_TIPED")', "no version has STRONGLY_TIPED"
    ),
    "a gate that never opens, with a default": Misuse(
        '"TilingOptimizationLevel", None', '"TilingOptimisationLevel", None', "no version has TilingOptimisationLevel"
    ),
    "a method that TensorRT calls otherwise": Misuse(
        "def step_complete(self, phase_name: str, step: int)",
        "def step_complete(self, phase_name: str)",
        'Signature of "step_complete" incompatible',
    ),
    "an object that nothing follows": Misuse(
        "bool(context.set_input_shape", "bool(eval(name).set_input_shape", "nothing checks set_input_shape"
    ),
    "the bindings under another name": Misuse(
        "== self._trt.TensorIOMode", "== self._native.TensorIOMode", "nothing checks TensorIOMode"
    ),
}
