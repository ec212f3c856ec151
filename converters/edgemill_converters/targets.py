"""A target: a runtime on a kind of box, and what may be asked of it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from edgemill_converters.precisions import PRECISIONS
from edgemill_core.errors import MissingPartError
from edgemill_core.validation import Strict
from edgemill_runtimes.nvidia.device import read_device
from edgemill_runtimes.nvidia.plan_facts import NVIDIA_RUNTIMES

AHEAD = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
"""Compute capabilities that TensorRT-RTX builds plans for where no GPU is (1.7: ``ComputeCapability``)."""


class Target(Strict):
    """A runtime on a kind of box.

    Attributes:
        device: ``CPU`` if not said, with TensorRT ``GPU``.
        compute_capability: of the GPUs that plans are built ahead for, e.g. ``8.6``; TensorRT-RTX alone can, and must.
    """

    runtime: str
    device: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]+$")] = "CPU"
    precisions: Annotated[tuple[str, ...], Field(min_length=1)] = ("fp32", "int8")
    compute_capability: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _on_gpu(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and raw.get("runtime") in NVIDIA_RUNTIMES:
            return {"device": "GPU", "compute_capability": (), **raw}
        return raw

    @field_validator("device")
    @classmethod
    def _there(cls, device: str, known: ValidationInfo) -> str:
        runtime = known.data.get("runtime", "")
        if runtime in NVIDIA_RUNTIMES:
            try:
                read_device(device, runtime)
            except MissingPartError as error:
                raise ValueError(error.expected) from error
        return device

    @field_validator("compute_capability", mode="before")
    @classmethod
    def _buildable(cls, given: Any, known: ValidationInfo) -> Any:
        runtime = known.data.get("runtime", "")
        if runtime != "tensorrt_rtx":
            if given:
                raise ValueError(f"no such key with {runtime or 'this runtime'}: only tensorrt_rtx builds plans ahead")
            return ()
        if not isinstance(given, (list, tuple)) or not given or any(one not in AHEAD for one in given):
            raise ValueError("a list of one or more, in quotes: " + ", ".join(f'"{one}"' for one in AHEAD))
        return tuple(sorted(dict.fromkeys(given), key=AHEAD.index))

    @model_serializer(mode="wrap")
    def _without_nothing(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is not built ahead reads, in provenance, as it did before anything was."""
        told: dict[str, Any] = dump(self)
        if not self.compute_capability:
            told.pop("compute_capability", None)
        return told

    @field_validator("precisions")
    @classmethod
    def _known(cls, precisions: tuple[str, ...]) -> tuple[str, ...]:
        unknown = set(precisions) - set(PRECISIONS)
        if unknown:
            raise ValueError(f"{' | '.join(PRECISIONS)}, not {', '.join(sorted(unknown))}")
        return precisions

    @property
    def name(self) -> str:
        """E.g. ``onnxruntime-cpu``."""
        return f"{self.runtime}-{self.device.lower()}"

    @property
    def runs_here(self) -> bool:
        """Whether the build machine runs what is built for it; else a stand-in is judged, and nothing is timed."""
        return self.runtime not in NVIDIA_RUNTIMES

    @property
    def is_built_ahead(self) -> bool:
        """Whether the build compiles its plans; else the box does, where that is needed."""
        return bool(self.compute_capability)
