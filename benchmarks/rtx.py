"""Real TensorRT-RTX engines, which can be built without a GPU but not run."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path


def build_seconds_and_bytes(graph: Path) -> tuple[float, int] | None:
    """For SM86 and SM89; ``None`` where TensorRT-RTX is not installed. A graph that it refuses is an error."""
    if importlib.util.find_spec("tensorrt_rtx") is None:
        return None
    import tensorrt_rtx as trt

    start, log = time.perf_counter(), trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(log)
    flags = sum(1 << int(getattr(trt.NetworkDefinitionCreationFlag, name)) for name in FLAGS
                if hasattr(trt.NetworkDefinitionCreationFlag, name))  # fmt: skip
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(graph.read_bytes()):
        raise RuntimeError(f"TensorRT-RTX refuses {graph.name}: {parser.get_error(0)}")
    config = builder.create_builder_config()
    config.num_compute_capabilities = 2
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    config.set_compute_capability(trt.ComputeCapability.SM89, 1)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise RuntimeError(f"TensorRT-RTX cannot build {graph.name}")
    return time.perf_counter() - start, engine.nbytes


FLAGS = ("EXPLICIT_BATCH", "STRONGLY_TYPED")
