"""The box that a proof holds for: what decides which numbers an engine gives, or how long it takes over them.

========================  ==========================================================================
processor, instructions   which kernels a runtime chooses, and how INT8 sums
cores                     that are online: a power mode takes some away
kernel                    its scheduler, and what it does against faults of the processor
driver                    of the GPU, and on a Jetson the release that it came with
power mode                ``nvpmodel`` of a Jetson
governor, turbo, …        what the processor may do about its frequency
onnxruntime, …            versions of all that a part goes through
========================  ==========================================================================

Left out is what comes and goes by itself: temperatures, and caps on the frequency, which heat sets as well as a person.
Nobody can ask a GPU for its power limit without its own tools; that is not seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from edgemill_runtimes.machine import this_machine
from edgemill_runtimes.nvidia.driver_version import driver_version

_PARTS = (
    "edgemill",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "tensorrt-rtx-cu13",
    "opencv-python-headless",
)
_FILES = {
    "kernel": "proc/sys/kernel/osrelease",
    "cores": "sys/devices/system/cpu/online",
    "governor": "sys/devices/system/cpu/cpufreq/policy*/scaling_governor",
    "energy preference": "sys/devices/system/cpu/cpufreq/policy*/energy_performance_preference",
    "boost": "sys/devices/system/cpu/cpufreq/boost",
    "no turbo": "sys/devices/system/cpu/intel_pstate/no_turbo",
    "platform profile": "sys/firmware/acpi/platform_profile",
    "power mode": "var/lib/nvpmodel/status",
}


def read_box(root: Path = Path("/"), parts: Mapping[str, str] | None = None) -> dict[str, str]:
    """What this box is, in words by name; what it does not have, or does not tell, is not among them.

    Args:
        root: where ``proc``, ``sys``, ``etc`` and ``var`` lie.
        parts: versions of what is installed; read if not given.
    """
    machine = this_machine(root / "proc/cpuinfo")
    installed = machine.parts if parts is None else parts
    found = {
        "processor": f"{machine.cpu} ({machine.architecture})",
        "instructions": " ".join(machine.features),
        "driver": driver_version(root / "proc/driver/nvidia/version", root / "etc/nv_tegra_release") or "",
        **{name: _said(sorted(root.glob(pattern))) for name, pattern in _FILES.items()},
        **{part: installed[part] for part in _PARTS if part in installed},
    }
    return {name: said for name, said in found.items() if said}


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """What is other than it was, in words; empty if nothing is."""
    names = dict.fromkeys([*before, *now])
    return tuple(
        f"{name}: {before.get(name, 'nothing')}, now {now.get(name, 'nothing')}"
        for name in names
        if before.get(name) != now.get(name)
    )


def _said(files: Iterable[Path]) -> str:
    """What they say, each thing once, in one line."""
    said = []
    for file in files:
        try:
            with file.open("rb") as opened:
                said.append(" ".join(opened.read(1000).decode(errors="replace").split()))
        except OSError:
            continue
    return ", ".join(dict.fromkeys(filter(None, said)))
