"""``edgemill doctor``: what is here, what is missing, and the command that installs it."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from edgemill.cli.output import print_json, print_line
from edgemill_agent.health.clock import is_synchronised
from edgemill_agent.health.sensors import read_heat
from edgemill_core.errors import EdgemillError, MissingPartError
from edgemill_runtimes.engines import engine_class, runtime_names
from edgemill_runtimes.machine import Machine, this_machine
from edgemill_runtimes.nvidia.gpu import Gpu
from edgemill_runtimes.nvidia.probing import probe
from edgemill_runtimes.requirements import installed_runtime

_TOOLS: Mapping[str, tuple[str, str]] = {
    "pictures (OpenCV)": ("cv2", "frames"),
    "MQTT (paho)": ("paho", "agent"),
    "broker to try out (iotcore)": ("iotcore", "agent"),
    "figures (prometheus-client)": ("prometheus_client", "agent"),
    "signatures (cryptography)": ("cryptography", "agent"),
    "conversion (onnx)": ("onnx", "convert"),
    "reports (Matplotlib)": ("matplotlib", "convert"),
    "tree models (LightGBM)": ("lightgbm", "trees"),
}


@dataclass(frozen=True)
class Finding:
    """One part of the environment.

    Attributes:
        missing: what installs it, if it is not there.
    """

    part: str
    here: bool
    detail: str
    missing: str | None = None


def run(json: bool) -> None:
    """Print the findings; always exit 0, because a missing extra is no fault."""
    machine = this_machine()
    findings, (gpus, why) = [*_runtimes(), *_tools()], _gpus()
    if json:
        parts = [{"part": f.part, "here": f.here, "detail": f.detail, "install": f.missing} for f in findings]
        told = {"machine": machine.as_dict(), "int8": int8_sentence(machine), "box": dict(_box()), "parts": parts}
        print_json({**told, "gpus": [gpu.as_dict() for gpu in gpus], "no_gpu": why})
        return
    print_line(f"{machine.cpu}, {machine.cores} cores, {machine.memory_mb} MB, Python {machine.python}")
    print_line(f"  features  {', '.join(machine.features) or 'none that matter for INT8 or BF16'}")
    print_line(f"  INT8      {int8_sentence(machine)}")
    for gpu in gpus:
        print_line(f"  GPU       {gpu_sentence(gpu)}")
    if why:
        print_line(f"  GPU       none: {why}")
    for name, what in _box().items():
        print_line(f"  {name:<9} {what}")
    for finding in findings:
        print_line(f"  {'ok     ' if finding.here else 'missing'}  {finding.part}: {finding.detail}")
        if finding.missing:
            print_line(f"           {finding.missing}")


def int8_sentence(machine: Machine) -> str:
    """What to expect of INT8 on this processor."""
    if machine.int8_dot_product:
        return "has INT8 dot products: expect INT8 to be about twice as fast as FP32"
    return "no INT8 dot products (VNNI): weights are kept to 7 bits, and INT8 may be no faster than FP32"


def gpu_sentence(gpu: Gpu) -> str:
    """What a GPU is, in a line."""
    memory = f"{gpu.memory_mb} MB{' that it shares with the processor' if gpu.integrated else ''}"
    driver = f", driver {gpu.driver}" if gpu.driver else ""
    return f"{gpu.name}, compute capability {gpu.compute_capability}, {memory}, CUDA {gpu.cuda}{driver}"


def _gpus() -> tuple[tuple[Gpu, ...], str | None]:
    """Those that are here, or why there are none."""
    try:
        return probe(), None
    except MissingPartError as error:
        return (), f"{error.what} ({error.got})"


def _runtimes() -> list[Finding]:
    findings = []
    for name in sorted(runtime_names()):
        try:
            engine_class(name)
            found = installed_runtime(name)
            findings.append(Finding(f"runtime {name}", True, found[1] if found else "installed"))
        except EdgemillError as error:
            findings.append(Finding(f"runtime {name}", False, error.got or error.what, error.fix))
    return findings


def _box() -> Mapping[str, str]:
    """What the agent's checks can see here; see ``health:`` in the guide."""
    heat, clock = read_heat(), is_synchronised()
    granted, _ = resource.getrlimit(resource.RLIMIT_RTPRIO)
    told = {True: "kept right by a time server", False: "no time server keeps it right: timedatectl set-ntp true"}
    return {
        "heat": f"{heat.hottest_c:.0f} °C at {heat.sensor}"
        if heat.hottest_c is not None
        else "no sensor below /sys can be read: it stays unknown",
        "clock": told[clock] if clock is not None else "whether it is kept right is not to be had",
        "real time": f"priority up to {granted} is granted"
        if granted
        else "no priority is granted to this user; `edgemill agent install` asks for it",
    }


def _tools() -> list[Finding]:
    return [
        Finding(title, True, "installed")
        if find_spec(module) is not None
        else Finding(title, False, f"no package {module}", f"pip install 'edgemill[{extra}]'")
        for title, (module, extra) in _TOOLS.items()
    ]
