"""Every extra alone, and all of them together: do they install within the pins, and import what they promise?

``python .ci/extras.py [NAME…]``, each in an environment of its own; prints what each takes. Ends with 1 if one fails.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tomllib

ROOT = Path(__file__).parents[1]
PROMISED = {
    "agent": ("edgemill_agent.line.line", "cryptography", "iotcore", "paho.mqtt.client", "prometheus_client"),
    "cameras": ("av",),
    "cluster": ("distributed",),
    "convert": ("edgemill_converters.build", "edgemill_converters.report", "onnx", "matplotlib"),
    "demo": ("edgemill.demo.lot_code", "openvino", "skimage"),
    "fleet": ("alembic", "fastapi", "sqlalchemy", "tuf.api.metadata", "uvicorn"),
    "frames": ("edgemill_runtimes.frames",),
    "nncf": ("nncf",),
    "openvino": ("edgemill_runtimes.engines.openvino",),
    "ort": ("edgemill_runtimes.engines.onnxruntime",),
    "pages": ("nicegui",),
    "plc": ("asyncua", "pymodbus.client"),
    "tensorrt": ("tensorrt_rtx",),
    "torch": ("edgemill_runtimes.engines.torch", "onnxscript"),
    "trees": ("lightgbm",),
}
"""By extra; a new one needs a line here. What is for developers alone is no promise."""
NO_PROMISE = ("dev",)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="extras; all if not said")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = [name for name in extras if name not in NO_PROMISE]
    asked = parser.parse_args().names or named
    lacking = sorted(set(named) - set(PROMISED) - {"all"})
    if lacking:
        sys.exit(f"nothing is promised of the extras {', '.join(lacking)}: add a line to PROMISED")
    with tempfile.TemporaryDirectory() as folder:
        _run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, str(ROOT)])
        (wheel,) = Path(folder).glob("*.whl")
        failed = [name for name in asked if not _holds(name, wheel, Path(folder) / name)]
    if failed:
        sys.exit(f"do not hold: {', '.join(failed)}")


def _holds(name: str, wheel: Path, place: Path) -> bool:
    start = time.monotonic()
    pins = ROOT / "constraints" / f"py{sys.version_info.major}{sys.version_info.minor}.txt"
    modules = [m for names in PROMISED.values() for m in names] if name == "all" else PROMISED[name]
    try:
        _run([sys.executable, "-m", "venv", str(place)])
        python = str(place / "bin" / "python")
        _run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-c", str(pins), f"{wheel}[{name}]"])
        for module in ("edgemill", *modules):  # each in a process of its own: some cannot share one
            _run([python, "-W", "ignore", "-c", f"import {module}"])
    except subprocess.CalledProcessError as error:
        print(f"{name:<14} FAILS\n{error.output[-2000:]}", flush=True)
        return False
    size = subprocess.run(["du", "-sm", str(place)], capture_output=True, text=True, check=True).stdout.split()[0]
    print(f"{name:<14} {size:>6} MB  {time.monotonic() - start:>5.0f} s", flush=True)
    subprocess.run(["rm", "-rf", str(place)], check=True)
    return True


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


if __name__ == "__main__":
    main()
