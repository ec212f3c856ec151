"""One Engine over every runtime. A new runtime is one new file and one line in ``RUNTIMES``.

Third parties add theirs by the entry point group ``edgemill.runtimes`` (name → ``module:Class``).
"""

from __future__ import annotations

from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING

from edgemill_core.errors import EngineError, MissingPartError
from edgemill_runtimes.engines.base import Engine
from edgemill_runtimes.engines.facts import Compiled, EngineFacts, Layer
from edgemill_runtimes.engines.settings import EngineSettings

if TYPE_CHECKING:
    from edgemill_runtimes.isolation.process import Isolation

RUNTIMES: dict[str, str] = {
    "onnxruntime": "edgemill_runtimes.engines.onnxruntime:OnnxRuntimeEngine",
    "openvino": "edgemill_runtimes.engines.openvino:OpenVinoEngine",
    "tensorrt": "edgemill_runtimes.engines.tensorrt:TensorRtEngine",
    "tensorrt_rtx": "edgemill_runtimes.engines.tensorrt:TensorRtRtxEngine",
    "torch": "edgemill_runtimes.engines.torch:TorchEngine",
}
EXTRAS = {"onnxruntime": "ort", "openvino": "openvino", "tensorrt_rtx": "tensorrt", "torch": "torch"}
"""TensorRT itself has none: a Jetson brings its own, and other machines want the one for their driver."""

__all__ = [
    "EXTRAS",
    "RUNTIMES",
    "Compiled",
    "Engine",
    "EngineFacts",
    "EngineSettings",
    "Layer",
    "engine_class",
    "load",
    "runtime_names",
]


def runtime_names() -> dict[str, str]:
    """Every runtime that can be asked for, with the class that runs it."""
    found = {point.name: point.value for point in metadata.entry_points(group="edgemill.runtimes")}
    return {**found, **RUNTIMES}


def engine_class(runtime: str) -> type[Engine]:
    """The class that runs ``runtime``.

    Raises:
        EngineError: no such runtime.
        MissingPartError: it exists but is not installed, or cannot be imported here.
    """
    table = runtime_names()
    if runtime not in table:
        raise EngineError(
            f"there is no runtime called {runtime!r}",
            expected=" | ".join(sorted(table)),
            got=runtime,
            fix="name one of these, or install the package that provides it",
        )
    module, _, name = table[runtime].partition(":")
    try:
        found = getattr(import_module(module), name, None)
    except Exception as error:  # a native package whose driver is missing raises what it likes
        extra = EXTRAS.get(runtime)
        raise MissingPartError(
            f"runtime {runtime!r} is not installed",
            expected=f"the Python package behind {module}",
            got=str(error) or type(error).__name__,
            fix=f"pip install 'edgemill[{extra}]'" if extra else f"install what {module} needs",
        ) from error
    if not (isinstance(found, type) and issubclass(found, Engine)):
        raise EngineError(
            f"the entry point of runtime {runtime!r} is not an Engine",
            expected="a subclass of edgemill_runtimes.engines.Engine",
            got=f"{table[runtime]}, which is {found!r}",
            fix="mend the package that provides it",
        )
    found.check_installed()
    return found


def load(
    runtime: str,
    graph: Path,
    settings: EngineSettings = EngineSettings(),  # noqa: B008 (frozen)
    isolated: bool | Isolation = False,
) -> Engine:
    """Load ``graph`` with ``runtime``; close the engine when done, or use it in a ``with``.

    Args:
        runtime: a name of ``runtime_names``.
        graph: ONNX file.
        settings: device, threads and the like.
        isolated: in a process of its own, with these limits or the usual ones. What kills or hangs the runtime is then
            an ``EngineCrashed`` or ``EngineTimeout`` here, and ``IsolatedEngine.restart`` brings the engine back.

    Raises:
        EngineError: no such runtime.
        MissingPartError: the runtime or the device is not to be had here.
        ModelError: the runtime cannot read the graph.
    """
    if isolated is False:
        return engine_class(runtime)(graph, settings)
    from edgemill_runtimes.isolation import IsolatedEngine, Isolation

    return IsolatedEngine(runtime, graph, settings, Isolation() if isolated is True else isolated)
