"""What this machine is: facts that change which engine is fast, or which numbers it gives."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

_FLAGS = {
    "avx2": "avx2",
    "avx512": "avx512f",
    "vnni": "avx512_vnni",
    "avx_vnni": "avx_vnni",
    "bf16": "avx512_bf16",
    "amx_bf16": "amx_bf16",
    "avx_ne_convert": "avx_ne_convert",
    "amx_int8": "amx_int8",
    "dotprod": "asimddp",
    "i8mm": "i8mm",
}
PARTS = (
    "edgemill",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "tensorrt-rtx-cu13",
    "torch",
    "opencv-python-headless",
    "onnx",
    "nncf",
)


@dataclass(frozen=True)
class Machine:
    """This machine.

    Attributes:
        cpu: the processor's own name.
        cores: cores this process may use.
        memory_mb: main memory.
        features: CPU features that matter for INT8 and BF16, those that are there.
        parts: installed packages that matter, with versions.
    """

    system: str
    python: str
    cpu: str
    architecture: str
    cores: int
    memory_mb: int
    features: tuple[str, ...]
    parts: dict[str, str]

    @property
    def int8_dot_product(self) -> bool:
        """Whether INT8 products are summed without saturation in 16 bits (VNNI, AMX, ARM dot product)."""
        return bool({"vnni", "avx_vnni", "amx_int8", "dotprod", "i8mm"} & set(self.features))

    @property
    def int8_weight_bits(self) -> int:
        """How many bits INT8 weights may use: 7 where sums saturate, so that they do not."""
        return 8 if self.int8_dot_product else 7

    @property
    def bf16(self) -> bool:
        """Whether products of BF16 numbers are instructions of the processor, rather than emulated."""
        return bool({"bf16", "amx_bf16", "avx_ne_convert"} & set(self.features))

    @property
    def int8_family(self) -> str:
        """Name of the INT8 arithmetic: boxes of one family give the same INT8 verdicts."""
        return f"{self.architecture}-{'dot' if self.int8_dot_product else 'saturating'}"

    def as_dict(self) -> dict[str, object]:
        """JSON-ready form."""
        return asdict(self)


def this_machine(cpuinfo: Path = Path("/proc/cpuinfo"), meminfo: Path = Path("/proc/meminfo")) -> Machine:
    """Read what this machine is from Linux's own files."""
    lines = [line.partition(":") for line in cpuinfo.read_text().splitlines()] if cpuinfo.is_file() else []
    table = {key.strip(): value.strip() for key, _, value in lines}
    flags = set(table.get("flags", table.get("Features", "")).split())
    memory = next((line.split()[1] for line in meminfo.read_text().splitlines() if line.startswith("MemTotal")), "0")
    return Machine(
        system=platform.platform(),
        python=platform.python_version(),
        cpu=table.get("model name", "unknown"),
        architecture=platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_mb=int(memory) // 1024,
        features=tuple(name for name, flag in _FLAGS.items() if flag in flags),
        parts=dict(_installed()),
    )


def _installed() -> list[tuple[str, str]]:
    found = []
    for part in PARTS:
        try:
            found.append((part, metadata.version(part)))
        except metadata.PackageNotFoundError:
            continue
    return found
