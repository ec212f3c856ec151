"""Every extra alone, and all together: installs under the pins, and imports what it promises.

    python .ci/extras.py              the cheap ones, and what .ci/run does
    python .ci/extras.py all          `all`, whose environment is large
    python .ci/extras.py ort convert  these

The extras are read from pyproject.toml; what each must import stands below, and an extra without an entry is an
error. In each environment `pip check` must be content, and every runtime that is not there must say which extra
brings it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parents[1]
PINS = ROOT / "constraints" / f"py{sys.version_info.major}{sys.version_info.minor}.txt"

IMPORTS: dict[str, tuple[str, ...]] = {
    "": ("edgemill", "edgemill.cli.app", "edgemill_core.bundle", "edgemill_link"),
    "agent": (
        "cryptography",
        "iotcore",
        "paho.mqtt.client",
        "prometheus_client",
        "edgemill_agent.link_process",
        "edgemill_link.trust.by_delta",
    ),
    "cameras": ("av",),
    "cluster": ("distributed",),
    "convert": (
        "onnx",
        "matplotlib",
        "packaging.licenses",
        "edgemill_converters.build",
        "edgemill_converters.chaining",
    ),
    "demo": ("PIL", "skimage", "lightgbm", "openvino", "edgemill.demo"),
    "dev": ("cyclonedx.validation.json", "hypothesis", "mypy", "pytest"),
    "fleet": (
        "tuf.api.metadata",
        "edgemill_fleet.serving.serve",
        "edgemill_fleet.serving.web_process",
        "edgemill_fleet.serving.intake_process",
        "edgemill_fleet.serving.steward_process",
        "edgemill.cli.fleet.rest",
    ),
    "frames": ("cv2", "edgemill_runtimes.frames"),
    "hsm": ("pkcs11", "securesystemslib.signer"),
    "keras": ("keras",),
    "nncf": ("nncf",),
    "openvino": ("openvino", "edgemill_runtimes.engines.openvino"),
    "ort": ("onnxruntime", "edgemill_runtimes.engines.onnxruntime"),
    "pages": ("nicegui",),
    "parquet": ("pyarrow.parquet",),
    "plc": ("asyncua", "pymodbus.client"),
    "postgresql": ("psycopg", "edgemill_fleet.store.database"),
    "search": ("optuna",),
    "sklearn": ("sklearn", "skl2onnx", "skops.io"),
    "tensorflow": ("tensorflow", "tf2onnx"),
    "tensorrt": ("tensorrt_rtx",),
    "torch": ("torch", "edgemill_runtimes.engines.torch"),
    "transformers": ("transformers", "optimum.exporters.onnx"),
    "trees": ("lightgbm",),
    "xgboost": ("xgboost",),
}
"""What each extra must import; ``all`` must import everything that its parts do."""

LARGE = {"all", "demo", "dev", "keras", "nncf", "tensorflow", "tensorrt", "torch", "transformers"}
"""Not done unless they are named; ``demo`` and ``dev`` are what the test run itself stands on."""

ENVIRONMENT = {"keras": {"KERAS_BACKEND": "torch"}}

_PROBE = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
from edgemill_core.errors import EdgemillError, MissingPartError
from edgemill_runtimes.engines import engine_class, runtime_names
for name in runtime_names():
    try:
        engine_class(name)
    except MissingPartError as error:
        way = "--system-site-packages" if name == "tensorrt" else "edgemill["  # a Jetson brings its own
        assert way in str(error), f"{name}: {error}"
"""


@dataclass(frozen=True)
class Row:
    """What came of one extra; ``fault`` is empty if all is well."""

    extra: str
    packages: int
    megabytes: float
    seconds: float
    fault: str


def extras() -> dict[str, list[str]]:
    """By name, the extras of Edgemill that each one brings along, itself included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    table: dict[str, list[str]] = project["optional-dependencies"]
    parts = {name: _named(needs) for name, needs in table.items()}
    whole = {}
    for name in table:
        found, rest = [], [name]
        while rest:
            if (one := rest.pop()) not in found:
                found.append(one)
                rest += parts[one]
        whole[name] = found
    return whole


def _named(needs: list[str]) -> list[str]:
    own = [need for need in needs if need.startswith("edgemill[")]
    return [name.strip() for need in own for name in need[len("edgemill[") : need.index("]")].split(",")]


def imports(extra: str, brought: list[str]) -> list[str]:
    """What an environment with ``extra`` must import."""
    names = brought if extra in ("all", "demo", "dev") else [extra]
    return sorted({module for name in ("", *names) for module in IMPORTS.get(name, ())})


def megabytes(folder: Path) -> float:
    """Of all files, in MB of 10^6."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def attempt(wheel: Path, extra: str, brought: list[str], folder: Path) -> Row:
    """Make an environment, install, check and import."""
    begin = time.monotonic()
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    needs = f"edgemill[{extra}] @ {wheel.as_uri()}" if extra else f"edgemill @ {wheel.as_uri()}"
    steps = [
        [sys.executable, "-m", "venv", "--without-pip", str(folder)],
        [*pip, "install", "--quiet", "--no-compile", "--constraint", str(PINS), needs],
        [*pip, "check"],
        ["env", "-C", str(folder), *_told(extra), str(python), "-W", "ignore", "-c", _PROBE, *imports(extra, brought)],
    ]
    fault = ""
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True)
        if done.returncode != 0:
            said = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("WARNING")]
            fault = " | ".join(said[-6:])
            break
    packages = next(folder.glob("lib/python*/site-packages"))
    count = len(list(packages.glob("*.dist-info")))
    return Row(extra or "(none)", count, round(megabytes(packages)), round(time.monotonic() - begin, 1), fault)


def _told(extra: str) -> list[str]:
    return [f"{name}={value}" for name, value in ENVIRONMENT.get(extra, {}).items()]


def say(words: str) -> None:
    """A line, at once; stdout is for JSON."""
    sys.stderr.write(words + "\n")
    sys.stderr.flush()


def main() -> int:
    """Exit code 1 if an extra does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extras", nargs="*", help="the cheap ones if none is named")
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    known = extras()
    nameless = sorted(set(known) - set(IMPORTS) - {"all"})
    unknown = sorted(set(told.extras) - set(known))
    if nameless or unknown:
        say(f"say in IMPORTS what these promise: {nameless}" if nameless else f"no such extras: {unknown}")
        return 2
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", scratch, str(ROOT)]
        subprocess.run(build, check=True, stderr=subprocess.DEVNULL)
        (wheel,) = Path(scratch).glob("*.whl")
        for extra in told.extras or ["", *sorted(set(known) - LARGE)]:
            with tempfile.TemporaryDirectory() as folder:
                rows.append(attempt(wheel, extra, known.get(extra, []), Path(folder)))
            row = rows[-1]
            said = f"{row.extra:<14} {row.packages:>4} packages {row.megabytes:>6} MB {row.seconds:>6} s"
            say(f"{said}  {row.fault or 'imports'}")
    if told.json:
        sys.stdout.write(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return int(any(row.fault for row in rows))


if __name__ == "__main__":
    sys.exit(main())
