"""The Python bindings of TensorRT and TensorRT-RTX. The only module that imports either.

Importing them without an NVIDIA driver is harmless in some versions and ends the interpreter in others: whoever wants
to *run* asks the driver first (``driver.gpus``), and does it in a process of its own.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from edgemill_core.errors import MissingPartError
from edgemill_runtimes.nvidia.plan_facts import NvidiaRuntime

_FIXES: dict[NvidiaRuntime, str] = {
    "tensorrt": "on a Jetson make the environment with --system-site-packages, so that JetPack's own TensorRT is seen; "
    "elsewhere install NVIDIA's tensorrt package for the driver's CUDA",
    "tensorrt_rtx": "pip install 'edgemill[tensorrt]'",
}
OLDEST = {"tensorrt": (10, 0), "tensorrt_rtx": (1, 0)}


def bindings(runtime: NvidiaRuntime) -> Any:
    """The module of ``runtime``, of a version that we know.

    Raises:
        MissingPartError: not installed, cannot be imported, or older than TensorRT 10.
    """
    try:
        found = import_module(runtime)
        version: str = found.__version__
    except Exception as error:  # a native package whose libraries are missing raises what it likes
        raise _missing(runtime, str(error) or type(error).__name__) from error
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST[runtime]:
        raise MissingPartError(
            f"{runtime} {version} is too old",
            expected=f"{'.'.join(map(str, OLDEST[runtime]))} or newer (JetPack 6.1)",
            got=version,
            fix="update JetPack, or run another variant of the bundle here",
        )
    return found


def check_installed(runtime: NvidiaRuntime) -> None:
    """Whether ``runtime`` is installed, without importing it: where there is no driver, that may be the end.

    Raises:
        MissingPartError: it is not.
    """
    if find_spec(runtime) is None:
        raise _missing(runtime, f"No module named {runtime!r}")


def _missing(runtime: NvidiaRuntime, got: str) -> MissingPartError:
    return MissingPartError(
        f"{runtime} is not installed", expected=f"the Python package {runtime}", got=got, fix=_FIXES[runtime]
    )
