"""Make a plan, in this process: parse, configure, build. The only module that calls the builder's API.

One code path for TensorRT 10 and 11 and for TensorRT-RTX: precision lives in the graph, networks are strongly typed
wherever that is a choice, and what a version has is asked for by its name. Whoever wants to outlive a build calls
``compiling.compile_plan``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgemill_core.durable import write_bytes
from edgemill_core.errors import InputError, MissingPartError, ModelError
from edgemill_core.tensors import TensorSpec
from edgemill_runtimes.nvidia.asked import Asked
from edgemill_runtimes.nvidia.build_errors import Complaint, unbuilt, unparsed
from edgemill_runtimes.nvidia.build_progress import Phases
from edgemill_runtimes.nvidia.logger import keeping_logger
from edgemill_runtimes.nvidia.onnx_file import operations
from edgemill_runtimes.nvidia.plan_facts import NvidiaRuntime
from edgemill_runtimes.nvidia.profiles import check_one_size, spans

Tell = Callable[[str, float], None]
"""Told the present step in TensorRT's words, and the share of all that is done."""


def build(trt: Any, graph: Path, asked: Asked, tell: Tell = lambda *_: None) -> Any:
    """The plan of ``graph``, as memory of TensorRT's with the buffer protocol.

    Args:
        trt: the bindings of ``asked.runtime``.
        graph: ONNX file; external weights lie beside it.
        asked: what the plan is to be.
        tell: called from the builder's threads.

    Raises:
        ModelError: the parser or the builder refuses the graph.
        InputError: what is asked for does not fit the graph, or this version cannot be asked for it.
        MissingPartError: there is no such accelerator.
        EngineError: it ran out of memory.
    """
    parsed = _parse(trt, graph, asked)
    config = parsed.builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # so that facts can be read back from the plan
    config.clear_flag(trt.BuilderFlag.TF32)  # it is set by default, and would round FP32 to 10 bits behind the graph
    if asked.workspace_mb is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, asked.workspace_mb * 1_000_000)
    _set_capabilities(trt, config, asked)
    _set_profile(parsed, config, asked)
    _set_accelerator(trt, parsed.builder, config, asked)
    monitor = _monitor(trt, tell)
    if monitor is not None:
        config.progress_monitor = monitor
    has_cache = _set_timing_cache(config, asked)
    parsed.log.forget()
    plan = parsed.builder.build_serialized_network(parsed.network, config)
    if plan is None:
        raise unbuilt(graph.name, asked.runtime, trt.__version__, list(parsed.log.errors), operations(graph))
    if has_cache and asked.timing_cache is not None:
        write_bytes(asked.timing_cache, bytes(memoryview(config.get_timing_cache().serialize())))
    return plan


@dataclass(frozen=True)
class _Parsed:
    """What must stay alive until the plan is built: the network's weights are the parser's, its errors the log's."""

    builder: Any
    network: Any
    parser: Any
    log: Any


def _parse(trt: Any, graph: Path, asked: Asked) -> _Parsed:
    log = keeping_logger(trt)
    try:
        builder = trt.Builder(log)
    except Exception as error:  # pybind11 raises a TypeError of its own where the library gives nothing
        raise _no_builder(asked, log.words()) from error
    if hasattr(trt, "init_libnvinfer_plugins"):
        trt.init_libnvinfer_plugins(log, "")  # the parser makes RoiAlign and others of them
    network = builder.create_network(_creation_flags(trt))
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(graph)):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        complaints = [Complaint(error.node_name(), error.node_operator(), error.desc()) for error in errors]
        complaints = complaints or [Complaint("", "", line) for line in log.errors]
        raise unparsed(graph.name, asked.runtime, trt.__version__, complaints)
    return _Parsed(builder, network, parser, log)


def _creation_flags(trt: Any) -> int:
    """Strongly typed with an explicit batch, where the enum still has them; later versions know nothing else."""
    flags = trt.NetworkDefinitionCreationFlag
    return sum(1 << int(getattr(flags, name)) for name in ("EXPLICIT_BATCH", "STRONGLY_TYPED") if hasattr(flags, name))


def builds_for(trt: Any, runtime: NvidiaRuntime, compute_capability: str) -> bool:
    """Whether this version can make a plan for such GPUs wherever it runs itself."""
    return runtime == "tensorrt_rtx" and hasattr(trt.ComputeCapability, _word(compute_capability))


def _word(compute_capability: str) -> str:
    return f"SM{compute_capability.replace('.', '')}"


def _set_capabilities(trt: Any, config: Any, asked: Asked) -> None:
    """For which GPUs, named one by one: so the plan does not depend on the machine that it is made on."""
    if not asked.compute_capabilities:
        return
    if not all(builds_for(trt, asked.runtime, one) for one in asked.compute_capabilities):
        known = dir(trt.ComputeCapability) if asked.runtime == "tensorrt_rtx" else []
        offered = " ".join(sorted(name for name in known if name.startswith("SM")))
        raise InputError(
            f"{asked.runtime} {trt.__version__} does not build ahead for {', '.join(asked.compute_capabilities)}",
            expected=offered or "a plan for the GPU of this box: only tensorrt_rtx builds for others",
            got=", ".join(asked.compute_capabilities),
            fix="compile on the box itself, with `edgemill agent compile`",
        )
    if hasattr(config, "set_compute_capability"):
        config.num_compute_capabilities = len(asked.compute_capabilities)
        for index, one in enumerate(asked.compute_capabilities):
            config.set_compute_capability(getattr(trt.ComputeCapability, _word(one)), index)


def _set_profile(parsed: _Parsed, config: Any, asked: Asked) -> None:
    inputs = [parsed.network.get_input(index) for index in range(parsed.network.num_inputs)]
    specs = [
        TensorSpec(one.name, one.dtype.name.lower(), tuple(None if size < 0 else size for size in one.shape))
        for one in inputs
    ]
    found = spans(specs, asked.limits)
    values = [one.name for one in inputs if one.is_shape_tensor]
    if values:
        raise ModelError(
            "the graph takes the sizes of its tensors from the numbers in an input",
            expected="inputs whose numbers say nothing of sizes",
            got=", ".join(values),
            fix="export it with these sizes as constants",
        )
    if asked.dla is not None:
        check_one_size(found)
    if not found:
        return
    profile = parsed.builder.create_optimization_profile()
    for name, span in found.items():
        profile.set_shape(name, span.least, span.most, span.most)
    config.add_optimization_profile(profile)


def _set_accelerator(trt: Any, builder: Any, config: Any, asked: Asked) -> None:
    if asked.dla is None:
        return
    cores = builder.num_DLA_cores if hasattr(builder, "num_DLA_cores") else 0
    if asked.dla >= cores:
        raise MissingPartError(
            f"{asked.runtime} {trt.__version__} has no core {asked.dla} of a deep learning accelerator here",
            expected="a box with one, and a version that knows it (TensorRT to 10.7, and from JetPack 7.2.2)",
            got=f"{cores} cores",
            fix="run it on the GPU: device GPU in the recipe",
        )
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = asked.dla
    if asked.gpu_fallback:
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def _set_timing_cache(config: Any, asked: Asked) -> bool:
    """Whether there is one now. What another version or GPU wrote is not taken, and replaced."""
    if asked.timing_cache is None or asked.runtime != "tensorrt":
        return False
    known = asked.timing_cache.read_bytes() if asked.timing_cache.is_file() else b""
    cache = config.create_timing_cache(known)  # None of what is damaged
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
    return True


def _no_builder(asked: Asked, words: str) -> MissingPartError:
    return MissingPartError(
        f"{asked.runtime} cannot compile here",
        expected="a builder",
        got=words,
        fix="run `edgemill doctor`: it says what NVIDIA's parts on this box are",
    )


def _monitor(trt: Any, tell: Tell) -> Any | None:
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc] # of a module that is not known before
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._phases, self._one_at_a_time = Phases(), threading.Lock()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._change(self._phases.start, phase_name, parent_phase, num_steps)

        def phase_finish(self, phase_name: str) -> None:
            self._change(self._phases.finish, phase_name)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._change(self._phases.step, phase_name, step)
            return True

        def _change(self, how: Callable[..., None], *told: Any) -> None:
            with self._one_at_a_time:
                how(*told)
                tell(self._phases.innermost, self._phases.share())

    return Monitor()
