"""What a plan's first bytes tell, before TensorRT sees it.

Where each number is from:

- TensorRT: NVIDIA's own ``trtexec`` reads the tag ``ftrt``, then a serialization version, and where that is 0 the
  version of TensorRT from bytes 24 to 27 (samples/common/sampleEngines.cpp). Nothing more is known for sure.
- TensorRT-RTX: found by comparing plans that 1.4.0.76, 1.6.1.120 and 1.7.1.116 built for each compute capability alone
  and for several. The tag is ``vtrt``, with the same serialization version and version; at 16 stands the size of the
  whole plan (64 bits), at 28 the tag again, and at 32 a set of compute capabilities, one bit each. A plan built for no
  GPU in particular has one bit more, which says "and newer": its compute capabilities are then told as not known.
  The runtime of 1.7.1 says itself that a header has 64 bytes, and refuses another tag or size as we do.

All numbers are little-endian. What is not known is ``None`` and refuses nothing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from edgemill_core.errors import BundleError
from edgemill_runtimes.nvidia.gpu import Gpu
from edgemill_runtimes.nvidia.plan_facts import NvidiaRuntime

HEADER_BYTES = 64
_TAGS: dict[bytes, NvidiaRuntime] = {b"ftrt": "tensorrt", b"vtrt": "tensorrt_rtx"}
_CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
"""By bit, from the lowest."""


@dataclass(frozen=True)
class PlanHeader:
    """What a plan says of itself.

    Attributes:
        runtime: that built it.
        version: of the runtime, e.g. ``10.3.0.26``; the last part is a byte, and wraps around.
        bytes: of the whole plan.
        compute_capabilities: of the GPUs that it is for.
    """

    runtime: NvidiaRuntime
    version: str | None = None
    bytes: int | None = None
    compute_capabilities: tuple[str, ...] | None = None

    def misfit(self, runtime: NvidiaRuntime, version: str, gpu: Gpu, size: int) -> tuple[str, str] | None:
        """Why a box cannot use it, as (expected, got); ``None`` if it can, as far as the header tells.

        Args:
            runtime: that is to run it.
            version: of the runtime here.
            gpu: of this box.
            size: of the plan's file, bytes.
        """
        if self.runtime != runtime:
            return f"a plan of {runtime}", f"one of {self.runtime}"
        if self.version is not None and _three(self.version) != _three(version):
            return f"a plan of {runtime} {version}", f"one of {self.version}"
        if self.bytes is not None and self.bytes != size:
            return f"{self.bytes} bytes, as the plan itself says", f"{size} bytes"
        if self.compute_capabilities is not None and gpu.compute_capability not in self.compute_capabilities:
            meant = " or ".join(self.compute_capabilities) or "none"
            return f"a plan for compute capability {gpu.compute_capability}", f"one for {meant}"
        return None


def read_header(first: bytes) -> PlanHeader:
    """What the first ``HEADER_BYTES`` bytes of a plan tell.

    Raises:
        BundleError: it is no plan of a runtime that we know, or ends before its header does.
    """
    runtime = _TAGS.get(bytes(first[:4]))
    if runtime is None or len(first) < HEADER_BYTES:
        got = f"only {len(first)} bytes" if runtime else f"{bytes(first[:8])!r}"
        raise BundleError(
            "this is no plan of TensorRT" if runtime is None else "a plan ends in the middle of its header",
            expected=f"{' or '.join(repr(tag) for tag in _TAGS)}, and {HEADER_BYTES} bytes at least",
            got=got,
            fix="compile it again with `edgemill agent compile`, or get the bundle again",
        )
    (serialization,) = struct.unpack_from("<I", first, 4)
    if serialization != 0:
        return PlanHeader(runtime)
    version = ".".join(str(part) for part in first[24:28])
    if runtime == "tensorrt" or first[28:32] != b"vtrt":
        return PlanHeader(runtime, version)
    (size,) = struct.unpack_from("<Q", first, 16)
    (bits,) = struct.unpack_from("<Q", first, 32)
    return PlanHeader(runtime, version, size, _capabilities(bits))


def check_header(first: bytes, name: str, runtime: NvidiaRuntime, version: str, gpu: Gpu, size: int) -> PlanHeader:
    """Refuse a plan that its own header says this box cannot use.

    Raises:
        BundleError: it is none, or for another box; says what it is for.
    """
    header = read_header(first)
    wrong = header.misfit(runtime, version, gpu, size)
    if wrong is not None:
        raise BundleError(
            f"the plan {name} is not for this box",
            expected=wrong[0],
            got=wrong[1],
            fix="make one on this box with `edgemill agent compile BUNDLE`",
        )
    return header


def _capabilities(bits: int) -> tuple[str, ...] | None:
    known = (1 << len(_CAPABILITIES)) - 1
    if bits & ~known or not bits:
        return None
    return tuple(name for place, name in enumerate(_CAPABILITIES) if bits >> place & 1)


def _three(version: str) -> tuple[str, ...]:
    """Without the build number, which the package's version may lack."""
    return tuple(version.split(".")[:3])
