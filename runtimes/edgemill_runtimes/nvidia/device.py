"""Which GPU, or which accelerator on it, an engine is to run on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from edgemill_core.errors import MissingPartError
from edgemill_runtimes.nvidia.gpu import Gpu
from edgemill_runtimes.nvidia.plan_facts import NvidiaRuntime


@dataclass(frozen=True)
class Device:
    """A device by its name in recipes: ``GPU``, ``GPU.1``, ``DLA.0``.

    Attributes:
        index: of the GPU, in the driver's order.
        dla: core of the deep learning accelerator, which lies beside the first GPU; ``None`` for the GPU itself.
    """

    index: int = 0
    dla: int | None = None


def read_device(name: str, runtime: NvidiaRuntime) -> Device:
    """What ``name`` means.

    Raises:
        MissingPartError: the runtime has no such device.
    """
    found = re.fullmatch(r"(GPU|DLA)(?:\.(\d{1,2}))?", name)
    if found is None or (found[1] == "DLA" and (found[2] is None or runtime != "tensorrt")):
        dla = " | DLA.0" if runtime == "tensorrt" else ""
        raise MissingPartError(
            f"{runtime} has no device {name!r}",
            expected=f"GPU | GPU.1{dla}",
            got=name,
            fix="write device: GPU in the recipe",
        )
    number = int(found[2] or 0)
    return Device(number) if found[1] == "GPU" else Device(0, number)


def choose(device: Device, gpus: Sequence[Gpu]) -> Gpu:
    """The GPU that ``device`` names.

    Raises:
        MissingPartError: there are fewer.
    """
    if device.index >= len(gpus):
        raise MissingPartError(
            f"there is no GPU.{device.index} here",
            expected=f"at least {device.index + 1} GPUs",
            got=", ".join(f"GPU.{place} ({gpu.name})" for place, gpu in enumerate(gpus)),
            fix="name one of these; CUDA_VISIBLE_DEVICES may hide others",
        )
    return gpus[device.index]
