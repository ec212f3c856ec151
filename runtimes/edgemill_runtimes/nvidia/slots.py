"""Slots: what one run at a time needs of a GPU. There are as many as there were ever runs at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgemill_core.errors import EngineError
from edgemill_core.tensors import Array, TensorSpec
from edgemill_runtimes.nvidia.driver import Driver
from edgemill_runtimes.nvidia.memory import Context, DeviceBuffer, Graph, HostBuffer, Stream

if TYPE_CHECKING:
    import tensorrt as trt


class Plan:
    """A deserialized plan, and what every slot of it shares.

    Attributes:
        native: TensorRT's engine.
        inputs: in the plan's order.
        outputs: likewise.
        context: of the GPU that it lies on.
        words: what TensorRT said last.
        recording: runs are begun as CUDA graphs.
    """

    def __init__(
        self,
        native: trt.ICudaEngine,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        driver: Driver,
        context: Context,
        words: Callable[[], str],
        recording: bool = False,
    ) -> None:
        self.native: trt.ICudaEngine = native
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self.driver, self.context, self.words, self.recording = driver, context, words, recording

    def free(self) -> None:
        """Free TensorRT's part, then what it lies in."""
        self.context.use_to_free()
        del self.native
        self.context.close()

    def failed(self, what: str, got: str | None = None) -> EngineError:
        """An error with TensorRT's own words."""
        return EngineError(
            f"TensorRT {what}",
            expected="success",
            got=got or self.words(),
            fix="load the engine again; if that happens again, compile the plan again with `edgemill agent compile`",
        )


class Slot:
    """An execution context with its stream and its buffers; one run at a time, from whatever thread.

    Raises:
        EngineError: the GPU has no room for another one.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        plan.context.use()
        native = plan.native.create_execution_context()
        if native is None:
            raise plan.failed("cannot make another execution context")
        self.native: trt.IExecutionContext = native
        self._near: dict[str, HostBuffer] = {}
        self._far: dict[str, DeviceBuffer] = {}
        self._views: dict[str, Array] = {}
        self._graph: Graph | None = None
        self._ran = False
        self._stream = Stream(plan.driver)

    def feed(self, feeds: Mapping[str, Array]) -> None:
        """Copy the feeds to where the GPU takes them from; they are the caller's again then.

        Raises:
            EngineError: TensorRT does not take their sizes, or there is no room for them.
        """
        self._plan.context.use()
        changed = [spec for spec in self._plan.inputs if self._shape(spec.name) != feeds[spec.name].shape]
        if changed:
            self._resize({spec.name: feeds[spec.name].shape for spec in changed})
        for spec in self._plan.inputs:
            np.copyto(self._views[spec.name], feeds[spec.name])

    def begin(self) -> None:
        """Begin a run on what was fed.

        Raises:
            EngineError: TensorRT or the driver cannot begin.
        """
        if self._plan.recording and self._ran and self._graph is None:
            self._graph = self._recorded()
        if self._graph is not None:
            self._graph.launch()
        else:
            self._enqueue()
        self._ran = True

    def wait(self) -> Mapping[str, Array]:
        """Wait for the run; the outputs are this slot's, until the next run.

        Raises:
            EngineError: the run failed.
        """
        self._plan.context.use()
        self._stream.synchronize()
        return {spec.name: self._views[spec.name] for spec in self._plan.outputs}

    def close(self) -> None:
        """Free everything, after whatever a run that failed has left going."""
        self._plan.context.use_to_free()
        self._stream.drain()
        self._forget_graph()
        del self.native
        self._views.clear()
        for buffer in (*self._near.values(), *self._far.values(), self._stream):
            buffer.close()

    def _recorded(self) -> Graph:
        try:
            return self._stream.capture(self._enqueue)
        except EngineError as error:
            raise EngineError(
                "a run of this plan cannot be recorded as a CUDA graph",
                expected="a run that the driver can record",
                got=f"{error.what}: {error.got}",
                fix="load the engine with cuda_graph=False",
            ) from error

    def _shape(self, name: str) -> tuple[int, ...] | None:
        view = self._views.get(name)
        return None if view is None else view.shape

    def _resize(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._forget_graph()
        for name in shapes:
            self._views.pop(name, None)  # whatever fails below: nothing is taken to be in place
        for name, shape in shapes.items():
            if not self.native.set_input_shape(name, shape):
                raise self._plan.failed(f"does not take {list(shape)} for {name!r}")
        for spec in self._plan.inputs:
            if spec.name in shapes:
                self._views[spec.name] = self._place(spec, shapes[spec.name])
        for spec in self._plan.outputs:
            shape = tuple(self.native.get_tensor_shape(spec.name))
            if any(size < 0 for size in shape):
                raise self._plan.failed(
                    f"does not know how large {spec.name!r} will be",
                    got=f"{list(shape)}: it depends on what is fed, which engines of ours do not do",
                )
            self._views[spec.name] = self._place(spec, shape)

    def _place(self, spec: TensorSpec, shape: tuple[int, ...]) -> Array:
        """A view of ``shape`` in the tensor's buffers, which grow where they must."""
        dtype = np.dtype(spec.dtype)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        near = self._near.get(spec.name)
        if near is None or near.size < size:
            for buffers in (self._near, self._far):
                if (old := buffers.pop(spec.name, None)) is not None:
                    old.close()
            near = self._near[spec.name] = HostBuffer(self._plan.driver, size)
            self._far[spec.name] = DeviceBuffer(self._plan.driver, size)
            if not self.native.set_tensor_address(spec.name, self._far[spec.name].address):
                raise self._plan.failed(f"does not take a buffer for {spec.name!r}")
        return near.view(dtype, shape)

    def _enqueue(self) -> None:
        for spec in self._plan.inputs:
            self._stream.to_device(self._far[spec.name], self._near[spec.name], self._views[spec.name].nbytes)
        if not self.native.execute_async_v3(self._stream.address):
            raise self._plan.failed("cannot begin a run")
        for spec in self._plan.outputs:
            self._stream.to_host(self._near[spec.name], self._far[spec.name], self._views[spec.name].nbytes)

    def _forget_graph(self) -> None:
        if self._graph is not None:
            self._graph.close()
        self._graph, self._ran = None, False


class Slots:
    """The slots of an engine: made as they are needed, freed when it closes and their run has ended.

    Args:
        plan: what they share; freed after the last of them.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._lock = threading.Lock()
        self._idle: list[Slot] = []
        self._taken = 0
        self._is_open = True

    def take(self) -> Slot:
        """An idle one, or a new one.

        Raises:
            EngineError: they are closed, or there is no room for another one.
        """
        with self._lock:
            if not self._is_open:
                raise EngineError("the engine was closed", expected="an open engine", got="closed", fix="load it again")
            self._taken += 1
            if self._idle:
                return self._idle.pop()
        try:
            return Slot(self._plan)
        except BaseException:
            self._ended()
            raise

    def give_back(self, slot: Slot) -> None:
        """It is idle."""
        with self._lock:
            if self._is_open:
                self._idle.append(slot)
                self._taken -= 1
                return
        self.drop(slot)

    def drop(self, slot: Slot) -> None:
        """It is not used again, as after a run that failed."""
        slot.close()
        self._ended()

    def close(self) -> None:
        """Free those that are idle; the others follow when their run ends. Closing twice is fine."""
        with self._lock:
            if not self._is_open:
                return
            self._is_open, idle = False, self._idle
            self._idle = []
            self._taken += 1  # this one: nobody else is the last meanwhile
        for slot in idle:
            slot.close()
        self._ended()

    def _ended(self) -> None:
        with self._lock:
            self._taken -= 1
            last = not self._is_open and self._taken == 0
        if last:
            self._plan.free()
