"""TensorRT and TensorRT-RTX, from plans that were compiled before. One code path; the bindings come as a parameter.

Nothing is compiled here: a plan takes minutes to make, and a line waits for an engine. Where there is none for this
box, the error says so. Importing this module loads neither bindings nor driver.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from edgemill_core.errors import MissingPartError, ModelError
from edgemill_core.tensors import Array, TensorSpec
from edgemill_runtimes.engines.base import Engine, check_shape
from edgemill_runtimes.engines.facts import Compiled
from edgemill_runtimes.nvidia.bindings import bindings, check_installed
from edgemill_runtimes.nvidia.device import Device, choose, read_device
from edgemill_runtimes.nvidia.driver import LIBRARY, gpus, open_driver
from edgemill_runtimes.nvidia.header import HEADER_BYTES, check_header
from edgemill_runtimes.nvidia.inspector import read_inspected
from edgemill_runtimes.nvidia.logger import process_logger
from edgemill_runtimes.nvidia.memory import Context
from edgemill_runtimes.nvidia.onnx_file import quantized_nodes
from edgemill_runtimes.nvidia.plan_facts import NvidiaRuntime
from edgemill_runtimes.nvidia.plan_tensors import check_limits, plan_tensors
from edgemill_runtimes.nvidia.plans import read_fitting_plan
from edgemill_runtimes.nvidia.slots import Plan, Slot, Slots

if TYPE_CHECKING:
    import tensorrt as trt


class TensorRtEngine(Engine):
    """A plan on one GPU, or on one core of a Jetson's accelerator. ``threads`` means nothing to it."""

    runtime: NvidiaRuntime = "tensorrt"
    library = LIBRARY

    @classmethod
    def check_installed(cls) -> None:
        """Whether the bindings are installed, without importing them.

        Raises:
            MissingPartError: they are not.
        """
        check_installed(cls.runtime)

    def _open(self) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        device = read_device(self.settings.device, self.runtime)
        self._gpu = choose(device, gpus(self.library))  # before the bindings: without a GPU they may crash
        self._trt = bindings(self.runtime)
        content = self._plan_bytes(device)
        driver = open_driver(self.library)
        with ExitStack() as made:
            context = made.enter_context(Context(driver, device.index))
            context.use()
            self._log = process_logger(self._trt)
            self._log.forget()
            native = self._deserialized(content, device)
            try:
                inputs, outputs = plan_tensors(self._trt, native)
                check_limits(inputs, self.settings.limits)
                self._plan = Plan(native, inputs, outputs, driver, context, self._log.words, self.settings.cuda_graph)
            finally:
                del native  # the plan alone holds it, and lets it go before the context that it lies in
            self._slots = Slots(self._plan)
            made.pop_all()
        try:
            self._slots.give_back(self._slots.take())  # TensorRT-RTX compiles its kernels with the first one
        except BaseException:
            self._slots.close()
            raise
        self._log.forget()  # of what it had to say while it loaded
        return inputs, outputs

    def _plan_bytes(self, device: Device) -> bytes:
        version = self._trt.__version__
        store = self.settings.cache
        plan, content = read_fitting_plan(self.graph, store, self.runtime, self._gpu, version, device.dla)
        check_header(content[:HEADER_BYTES], plan.name, self.runtime, version, self._gpu, len(content))
        return content

    def _deserialized(self, content: bytes, device: Device) -> trt.ICudaEngine:
        if hasattr(self._trt, "init_libnvinfer_plugins"):
            self._trt.init_libnvinfer_plugins(self._log, "")
        runtime: trt.Runtime = self._trt.Runtime(self._log)
        if device.dla is not None:
            if device.dla >= runtime.num_DLA_cores:
                raise MissingPartError(
                    f"this box has no DLA.{device.dla}",
                    expected=self.settings.device,
                    got=f"{runtime.num_DLA_cores} cores",
                    fix="write device: GPU in the recipe",
                )
            runtime.DLA_core = device.dla
        native = runtime.deserialize_cuda_engine(content)
        if native is None:
            raise ModelError(
                f"{self.runtime} cannot load the plan of {self.graph.name}",
                expected=f"a plan that {self._trt.__version__} reads on {self._gpu.name}",
                got=self._log.words(),
                fix="compile it again with `edgemill agent compile BUNDLE`",
            )
        return native

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return self._finish(self._start(feeds))

    def _run_into(self, feeds: Mapping[str, Array], into: Mapping[str, Array]) -> dict[str, Array]:
        return self._ended(self._start(feeds), into)

    def _start(self, feeds: Mapping[str, Array]) -> Slot:
        slot = self._slots.take()
        try:
            slot.feed(feeds)
            slot.begin()
        except BaseException:
            self._slots.drop(slot)
            raise
        return slot

    def _finish(self, started: Slot) -> dict[str, Array]:
        return self._ended(started, None)

    def _ended(self, slot: Slot, into: Mapping[str, Array] | None) -> dict[str, Array]:
        try:
            found = slot.wait()
        except BaseException:
            self._slots.drop(slot)
            raise
        try:
            if into is None:
                return {name: np.array(view) for name, view in found.items()}
            for name, view in found.items():
                check_shape(name, into[name], view.shape)
                np.copyto(into[name], view)
            return dict(into)
        finally:
            self._slots.give_back(slot)

    def _best_depth(self) -> int:
        return 2  # one is copied while the other is computed

    def _compiled(self) -> Compiled:
        found = read_inspected(self._inspected(), quantized_nodes(self.graph).__contains__)
        accelerated = self.settings.device.startswith("DLA")
        elsewhere = {layer.name: "GPU" for layer in found.layers} if accelerated else {}
        options = {
            "gpu": self._gpu.name,
            "compute_capability": self._gpu.compute_capability,
            "cuda": self._gpu.cuda,
            "driver": self._gpu.driver or "not known",
            "cuda_graph": str(self.settings.cuda_graph),
            "device_memory_mb": f"{self._device_memory() / 1e6:.1f}",
        }
        version: str = self._trt.__version__
        return Compiled(version, self.settings.device, found.layers, elsewhere, options, found.hidden)

    def _inspected(self) -> str:
        """With the least sizes in place, so that the inspector can tell sizes at all."""
        slot = self._slots.take()
        try:
            slot.feed({spec.name: spec.example() for spec in self.inputs})
            inspector: trt.EngineInspector = self._plan.native.create_engine_inspector()
            inspector.execution_context = slot.native
            said: str = inspector.get_engine_information(self._trt.LayerInformationFormat.JSON)
        except BaseException:
            self._slots.drop(slot)
            raise
        self._slots.give_back(slot)
        return said

    def _device_memory(self) -> int:
        """What each slot takes of the GPU besides weights, bytes."""
        native = self._plan.native
        return int(
            native.device_memory_size_v2 if hasattr(native, "device_memory_size_v2") else native.device_memory_size
        )

    def _close(self) -> None:
        self._slots.close()


class TensorRtRtxEngine(TensorRtEngine):
    """TensorRT-RTX, for GPUs of GeForce RTX and RTX PRO; it finishes compiling a plan for the very GPU as it loads."""

    runtime: NvidiaRuntime = "tensorrt_rtx"
