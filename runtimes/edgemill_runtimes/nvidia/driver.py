"""NVIDIA's driver, called directly (libcuda, by ctypes): which GPUs are here, before any of TensorRT is loaded.

The library comes with the driver and with nothing else, so that no package has to be installed to ask it. Numbers and
signatures are those of NVIDIA's "CUDA Driver API" (cuda.h); they have been stable since CUDA 11.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from typing import Any

from edgemill_core.errors import EngineError, MissingPartError
from edgemill_runtimes.nvidia.driver_version import driver_version
from edgemill_runtimes.nvidia.gpu import Gpu

LIBRARY = "libcuda.so.1"
OLDEST = (11, 0)
"""CUDA that the oldest driver speaks which any TensorRT 10 takes; what a newer one needs on top, it says itself."""
NO_DEVICE, OUT_OF_MEMORY, STUB = 100, 2, 34
"""``CUDA_ERROR_NO_DEVICE``, ``CUDA_ERROR_OUT_OF_MEMORY``, ``CUDA_ERROR_STUB_LIBRARY``."""
_INTEGRATED, _MAJOR, _MINOR = 18, 75, 76
"""``CU_DEVICE_ATTRIBUTE_INTEGRATED`` and ``…_COMPUTE_CAPABILITY_MAJOR``, ``…_MINOR``."""
_GET_ONE = (
    "on a Jetson, flash JetPack 6.1 or newer; elsewhere install NVIDIA's driver; in a container, start it with "
    "`--runtime nvidia` or `--gpus all`; or run another variant of the bundle here"
)


class DriverError(EngineError):
    """A call of the driver failed.

    Attributes:
        code: the driver's own number (``CUresult``).
    """

    def __init__(self, call: str, code: int, said: str) -> None:
        super().__init__(
            f"the GPU's driver failed in {call}",
            expected="success",
            got=f"{said} (error {code})",
            fix="load the engine again; if that happens again, see the kernel's log (dmesg) for Xid or nvgpu",
        )
        self.code = code


class Driver:
    """The driver's library, loaded and initialised.

    Args:
        library: file name, as the dynamic linker takes it.

    Raises:
        MissingPartError: there is no driver, it finds no GPU, or it is too old.
    """

    def __init__(self, library: str = LIBRARY) -> None:
        try:
            self._library = ctypes.CDLL(library)
        except OSError as error:
            raise MissingPartError(
                "there is no NVIDIA driver here", expected=library, got=str(error), fix=_GET_ONE
            ) from error
        code = self._function("cuInit")(0)
        if code:
            raise _unusable(code, self.words(code))
        version = ctypes.c_int()
        self.call("cuDriverGetVersion", ctypes.byref(version))
        self.version = (version.value // 1000, version.value % 1000 // 10)
        if self.version < OLDEST:
            raise MissingPartError(
                "the NVIDIA driver is too old",
                expected=f"one that speaks CUDA {_dotted(OLDEST)} or newer",
                got=f"CUDA {_dotted(self.version)}",
                fix="update the driver; on a Jetson, flash JetPack 6.1 or newer",
            )

    def call(self, name: str, *given: Any) -> None:
        """Call a function of the driver.

        Raises:
            DriverError: it failed; says what the driver says.
        """
        code = self._function(name)(*given)
        if code:
            raise DriverError(name, code, self.words(code))

    def free(self, name: str, *given: Any) -> None:
        """Call a function that frees something.

        After a run that failed, every call repeats that run's error, the freeing ones too; it was told by the run.
        """
        self._function(name)(*given)

    def words(self, code: int) -> str:
        """What the driver says of its error ``code``."""
        said = ctypes.c_char_p()
        self._function("cuGetErrorString")(code, ctypes.byref(said))
        return said.value.decode(errors="replace") if said.value else "an error that it has no words for"

    def gpus(self) -> tuple[Gpu, ...]:
        """Those that this process may use, in the driver's order.

        Raises:
            DriverError: the driver does not tell.
        """
        count = ctypes.c_int()
        self.call("cuDeviceGetCount", ctypes.byref(count))
        return tuple(self._gpu(index) for index in range(count.value))

    def device(self, index: int) -> ctypes.c_int:
        """The driver's handle of a GPU."""
        found = ctypes.c_int()
        self.call("cuDeviceGet", ctypes.byref(found), index)
        return found

    def _gpu(self, index: int) -> Gpu:
        device, name, memory = self.device(index), ctypes.create_string_buffer(256), ctypes.c_size_t()
        self.call("cuDeviceGetName", name, len(name), device)
        self.call("cuDeviceTotalMem_v2", ctypes.byref(memory), device)
        major, minor, integrated = (self._attribute(which, device) for which in (_MAJOR, _MINOR, _INTEGRATED))
        return Gpu(
            name=name.value.decode(errors="replace"),
            compute_capability=f"{major}.{minor}",
            memory_mb=memory.value // 1_000_000,
            integrated=bool(integrated),
            cuda=_dotted(self.version),
            driver=driver_version(),
        )

    def _attribute(self, which: int, device: ctypes.c_int) -> int:
        found = ctypes.c_int()
        self.call("cuDeviceGetAttribute", ctypes.byref(found), which, device)
        return found.value

    def _function(self, name: str) -> Any:
        try:
            return getattr(self._library, name)
        except AttributeError as error:
            raise MissingPartError(
                f"the NVIDIA driver has no {name}",
                expected=f"a driver that speaks CUDA {_dotted(OLDEST)} or newer",
                got=str(error),
                fix="update the driver; on a Jetson, flash JetPack 6.1 or newer",
            ) from error


@cache
def open_driver(library: str = LIBRARY) -> Driver:
    """The driver of this process; initialising it once is enough.

    Raises:
        MissingPartError: as for ``Driver``.
    """
    return Driver(library)


def gpus(library: str = LIBRARY) -> tuple[Gpu, ...]:
    """The GPUs of this box, at least one.

    Raises:
        MissingPartError: there is no driver, no GPU, or the driver is too old; says what was found and what to do.
    """
    found = open_driver(library).gpus()
    if not found:
        raise _unusable(NO_DEVICE, "it counts 0 devices")
    return found


def _unusable(code: int, said: str) -> MissingPartError:
    if code == STUB:
        return MissingPartError(
            "libcuda is the CUDA toolkit's stub, and no driver",
            expected="the driver's own library first on the linker's path",
            got=said,
            fix="take the folder `stubs` out of LD_LIBRARY_PATH",
        )
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    more = "" if hidden is None else f"; CUDA_VISIBLE_DEVICES is {hidden!r}"
    what = "finds no GPU" if code == NO_DEVICE else "does not start"
    fix = _GET_ONE if code == NO_DEVICE else f"reboot after an update of the driver; {_GET_ONE}"
    return MissingPartError(
        f"the NVIDIA driver {what}", expected="at least one GPU", got=f"{said} (error {code}){more}", fix=fix
    )


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
