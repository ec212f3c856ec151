"""What an installation weighs, and that the bare one brings no runtime. Makes virtual environments; takes minutes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from form import Row, at_most, main, stated

ROOT = Path(__file__).parents[1]
PINS = ROOT / "constraints" / f"py{sys.version_info.major}{sys.version_info.minor}.txt"
HEAVY = ("onnxruntime", "openvino", "tensorrt", "torch", "cv2", "nncf", "onnx")


def megabytes(folder: Path) -> float:
    """Bytes of all files, in MB of 10^6, without pip and setuptools, which every environment has."""
    packages = next(folder.glob("lib/python*/site-packages"))
    ours = [
        p for p in packages.iterdir() if not p.name.startswith(("pip", "setuptools", "pkg_resources", "_distutils"))
    ]
    files = [f for p in ours for f in ([p] if p.is_file() else p.rglob("*")) if f.is_file()]
    return sum(f.stat().st_size for f in files) / 1e6


def install(folder: Path, extra: str) -> float:
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-compile", "--constraint", PINS]
    subprocess.run([*pip, f"{ROOT}{extra}"], check=True)
    return megabytes(folder)


def measure() -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        bare = Path(scratch, "bare")
        rows.append(stated("install", "edgemill alone", "MB", install(bare, ""), 1))
        probe = f"from importlib.util import find_spec as f; print(sum(f(m) is not None for m in {HEAVY!r}))"
        found = subprocess.run([bare / "bin" / "python", "-c", probe], check=True, capture_output=True, text=True)
        rows.append(at_most("install", "runtimes in edgemill alone", "packages", int(found.stdout), 0, 1))
        rows.append(at_most("install", "edgemill[ort]", "MB", install(Path(scratch, "ort"), "[ort]"), 220, 1))
        for extra in ("[ort,frames]", "[agent,ort]", "[agent,openvino]", "[convert,openvino]"):
            weight = install(Path(scratch, extra.strip("[]").replace(",", "-")), extra)
            rows.append(stated("install", f"edgemill{extra}", "MB", weight, 1))
    return rows


if __name__ == "__main__":
    main(measure)
