"""A piece of code in the style of ours, and the ways to get it wrong that must be seen."""

from __future__ import annotations

from typing import NamedTuple

_HEAD = """
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

"""
_PARSING = """
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
        errors = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        raise ValueError(f"{parser.num_errors} errors: {errors}")
    return Parsed(builder, network)


def _log(trt: Any) -> Any:
    class Log(trt.ILogger):
        def log(self, severity: Any, message: str) -> None:
            if severity == trt.ILogger.ERROR:
                raise ValueError(message)

    return Log()
"""
_BUILDING = """
def build(trt: Any, builder: Any, network: Any, runtime: str) -> Any:
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, 1 << 30)
    if hasattr(trt.BuilderFlag, "FP16"):
        config.set_flag(trt.BuilderFlag.FP16)
    if runtime == "tensorrt_rtx":
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    level = getattr(trt, "TilingOptimizationLevel", None)
    if level is not None and hasattr(config, "tiling_optimization_level"):
        config.tiling_optimization_level = level.NONE
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ValueError(f"{trt.__version__} cannot build it")
    return plan


def size(trt: Any, builder: Any, network: Any) -> int:
    return int(build(trt, builder, network, "tensorrt").nbytes)
"""
_WATCHING = """
def watch(trt: Any, config: Any, told: bytes) -> bool:
    config.progress_monitor = _monitor(trt)
    return bool(config.set_timing_cache(config.create_timing_cache(told), ignore_mismatch=False))


def _monitor(trt: Any) -> Any:
    class Monitor(trt.IProgressMonitor):
        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None: ...

        def phase_finish(self, phase_name: str) -> None: ...

        def step_complete(self, phase_name: str, step: int) -> bool:
            return True

    return Monitor()
"""
_RUNNING = """
class Running:
    def __init__(self, trt: Any, plan: bytes) -> None:
        self._trt = trt
        self._engine = trt.Runtime(trt.Logger()).deserialize_cuda_engine(plan)
        self._context = self._engine.create_execution_context()

    def outputs(self) -> list[str]:
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        return [name for name in names if self._engine.get_tensor_mode(name) == self._trt.TensorIOMode.OUTPUT]

    def run(self, name: str, shape: tuple[int, ...], address: int, stream: int) -> bool:
        return _point(self._context, name, shape, address) and self._context.execute_async_v3(stream)


def _point(context: Any, name: str, shape: tuple[int, ...], address: int) -> bool:
    return bool(context.set_input_shape(name, shape) and context.set_tensor_address(name, address))
"""
_ASKING = """
def memory(module: Any, engine: Any) -> tuple[int, bool]:
    on_gpu = engine.get_tensor_location(engine.get_tensor_name(0)) == module.TensorLocation.DEVICE
    size = int(
        engine.device_memory_size_v2 if hasattr(engine, "device_memory_size_v2") else engine.device_memory_size
    )
    return size, on_gpu and all(each >= 0 for each in engine.get_tensor_shape(engine.get_tensor_name(0)))
"""
_ELSEWHERE = """
from parsing import parse


def profile(trt: Any, graph: str) -> Any:
    return parse(trt, graph).builder.create_optimization_profile()
"""
PIECES = {
    "parsing": _HEAD + _PARSING,
    "building": _HEAD + _BUILDING,
    "watching": _HEAD + _WATCHING,
    "running": _HEAD + _RUNNING,
    "asking": _HEAD + _ASKING,
    "elsewhere": _HEAD + _ELSEWHERE,
}
"""Of code that is right, by module."""


class Misuse(NamedTuple):
    """One way to get one of the pieces wrong.

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
    "a misspelled property of what a function gives": Misuse(").nbytes", ").nbyte", 'has no attribute "nbyte"'),
    "a misspelled name where something is missing": Misuse("trt.__version__", "trt.__versions__", "__versions__"),
    "a class that only TensorRT makes": Misuse(
        "builder.create_builder_config()", "trt.IBuilderConfig()", "Missing named argument"
    ),
    "a misspelled method of what another file gives": Misuse(
        "create_optimization_profile", "create_optimisation_profile", 'has no attribute "create_optimisation_profile"'
    ),
    "a misspelled enum member": Misuse("WORKSPACE,", "WORKSPACES,", 'has no attribute "WORKSPACES"'),
    "a misspelled enum member, of the module that is kept": Misuse(
        "_trt.TensorIOMode.OUTPUT", "_trt.TensorIOMode.OUTPUTS", 'has no attribute "OUTPUTS"'
    ),
    "a misspelled class": Misuse("trt.OnnxParser", "trt.ONNXParser", 'has no attribute "ONNXParser"'),
    "a missing argument": Misuse("(told), ignore_mismatch=False)", "(told))", "Missing positional argument"),
    "an argument too many": Misuse("create_timing_cache(told)", "create_timing_cache(told, 0)", "Too many arguments"),
    "arguments in the wrong order": Misuse("(network, config)", "(config, network)", "incompatible type|No overload"),
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
