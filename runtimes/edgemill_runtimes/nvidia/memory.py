"""Memory and streams of a GPU, through the driver's own API: what TensorRT leaves to its caller.

Everything here is freed when it is closed, once. The GPU's *primary* context is used, the one that TensorRT and the
CUDA runtime share; it belongs to threads, so that whoever calls makes it current first (``Context.use``).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

import numpy as np

from edgemill_core.errors import EngineError
from edgemill_core.tensors import Array
from edgemill_runtimes.nvidia.driver import OUT_OF_MEMORY, Driver, DriverError

_NON_BLOCKING = 1
"""``CU_STREAM_NON_BLOCKING``: does not wait for the default stream, which others may use."""
_THREAD_LOCAL = 1
"""``CU_STREAM_CAPTURE_MODE_THREAD_LOCAL``: other threads may allocate meanwhile."""
Handle: TypeAlias = "ctypes.c_void_p | ctypes.c_uint64 | ctypes.c_int"
Self = TypeVar("Self", bound="Resource")


class Resource:
    """Something of the GPU that is freed when closed. Use it as a context manager."""

    def __init__(self, driver: Driver, free: str, handle: Handle) -> None:
        self._driver, self._free, self._handle = driver, free, handle
        self._is_open = True

    @property
    def address(self) -> int:
        """The handle as a number, as TensorRT takes it."""
        return int(self._handle.value or 0)

    def close(self) -> None:
        """Free it; closing twice is fine."""
        if self._is_open:
            self._is_open = False
            self._driver.free(self._free, self._handle)

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Context(Resource):
    """The primary context of one GPU.

    Args:
        driver: initialised.
        index: of the GPU, in the driver's order.

    Raises:
        EngineError: it cannot be had, e.g. because the GPU's memory is full.
    """

    def __init__(self, driver: Driver, index: int) -> None:
        device, self._context = driver.device(index), ctypes.c_void_p()
        _allocate("a context", driver, "cuDevicePrimaryCtxRetain", ctypes.byref(self._context), device)
        super().__init__(driver, "cuDevicePrimaryCtxRelease_v2", device)

    def use(self) -> None:
        """Make it the calling thread's current one."""
        self._driver.call("cuCtxSetCurrent", self._context)

    def use_to_free(self) -> None:
        """The same, before something is freed: after a run that failed, this call would only repeat its error."""
        self._driver.free("cuCtxSetCurrent", self._context)


class Stream(Resource):
    """Work that the GPU does in order, beside other streams."""

    def __init__(self, driver: Driver) -> None:
        handle = ctypes.c_void_p()
        driver.call("cuStreamCreate", ctypes.byref(handle), _NON_BLOCKING)
        super().__init__(driver, "cuStreamDestroy_v2", handle)

    def synchronize(self) -> None:
        """Wait for all that was begun.

        Raises:
            DriverError: some of it failed.
        """
        self._driver.call("cuStreamSynchronize", self._handle)

    def drain(self) -> None:
        """Wait before something is freed; what fails here was told before."""
        self._driver.free("cuStreamSynchronize", self._handle)

    def to_device(self, target: DeviceBuffer, source: HostBuffer, count: int) -> None:
        """Begin to copy ``count`` bytes."""
        self._driver.call(
            "cuMemcpyHtoDAsync_v2",
            ctypes.c_uint64(target.address),
            ctypes.c_void_p(source.address),
            ctypes.c_size_t(count),
            self._handle,
        )

    def to_host(self, target: HostBuffer, source: DeviceBuffer, count: int) -> None:
        """Begin to copy ``count`` bytes."""
        self._driver.call(
            "cuMemcpyDtoHAsync_v2",
            ctypes.c_void_p(target.address),
            ctypes.c_uint64(source.address),
            ctypes.c_size_t(count),
            self._handle,
        )

    def capture(self, work: Callable[[], None]) -> Graph:
        """Record what ``work`` begins on this stream instead of doing it.

        Raises:
            EngineError: the driver cannot record it; or what ``work`` raises.
        """
        graph = ctypes.c_void_p()
        self._driver.call("cuStreamBeginCapture_v2", self._handle, _THREAD_LOCAL)
        try:
            work()
        except BaseException:
            self._driver.free("cuStreamEndCapture", self._handle, ctypes.byref(graph))
            if graph:
                self._driver.free("cuGraphDestroy", graph)
            raise
        self._driver.call("cuStreamEndCapture", self._handle, ctypes.byref(graph))
        return Graph(self._driver, graph, self)


class Graph(Resource):
    """Recorded work of a stream, begun again by one call."""

    def __init__(self, driver: Driver, recorded: ctypes.c_void_p, stream: Stream) -> None:
        self._stream, handle = stream, ctypes.c_void_p()
        try:
            driver.call("cuGraphInstantiateWithFlags", ctypes.byref(handle), recorded, ctypes.c_uint64(0))
        finally:
            driver.free("cuGraphDestroy", recorded)
        super().__init__(driver, "cuGraphExecDestroy", handle)

    def launch(self) -> None:
        """Begin the work once more, on the stream that it was recorded from."""
        self._driver.call("cuGraphLaunch", self._handle, ctypes.c_void_p(self._stream.address))


class DeviceBuffer(Resource):
    """Memory of the GPU.

    Args:
        size: bytes; none is taken as one, which the driver would refuse.

    Raises:
        EngineError: there is not so much.
    """

    def __init__(self, driver: Driver, size: int) -> None:
        self.size, handle = max(size, 1), ctypes.c_uint64()
        _allocate(_said(size, "GPU"), driver, "cuMemAlloc_v2", ctypes.byref(handle), ctypes.c_size_t(self.size))
        super().__init__(driver, "cuMemFree_v2", handle)


class HostBuffer(Resource):
    """Page-locked memory of the machine, which the GPU copies from and to by itself.

    Args:
        size: bytes.

    Raises:
        EngineError: there is not so much.
    """

    def __init__(self, driver: Driver, size: int) -> None:
        self.size, handle = max(size, 1), ctypes.c_void_p()
        _allocate(
            _said(size, "page-locked"), driver, "cuMemAllocHost_v2", ctypes.byref(handle), ctypes.c_size_t(self.size)
        )
        super().__init__(driver, "cuMemFreeHost", handle)

    def view(self, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> Array:
        """Its first bytes as an array, which must not be touched after ``close``."""
        raw: Any = (ctypes.c_char * self.size).from_address(self.address)
        found: Array = np.frombuffer(raw, dtype, count=int(np.prod(shape, dtype=np.int64))).reshape(shape)
        return found


def _allocate(what: str, driver: Driver, call: str, *given: object) -> None:
    try:
        driver.call(call, *given)
    except DriverError as error:
        if error.code != OUT_OF_MEMORY:
            raise
        raise EngineError(
            f"the GPU has no memory left for {what}",
            expected=what,
            got=error.got,
            fix="fewer runs at once, smaller limits, a smaller model, or less beside it on this GPU",
        ) from error


def _said(size: int, kind: str) -> str:
    return f"{size / 1e6:.1f} MB of {kind} memory"
