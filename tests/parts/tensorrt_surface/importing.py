"""The real bindings, imported in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tensorrt_surface.stub_library import make_libraries
from tensorrt_surface.versions import Bindings

_PARTS = Path(__file__).resolve().parents[1]
_WHAT_IT_HAS = """
import importlib, inspect, json, sys
module = importlib.import_module(sys.argv[1])
names = lambda one: [name for name in vars(one) if not name.startswith("_")]
classes = {name: names(one) for name, one in vars(module).items() if inspect.isclass(one)}
print(json.dumps({"version": module.__version__, "": names(module), **classes}))
"""


class Imported:
    """One version of the bindings, unpacked and able to be imported."""

    def __init__(self, bindings: Bindings, wheels: Path, folder: Path) -> None:
        self._bindings = bindings
        self._package = bindings.unpacked(wheels, folder)
        self._libraries = folder / f"{bindings.stub}_libraries"
        make_libraries(bindings.libraries, self._libraries)

    def stub(self) -> str:
        """Its type stub."""
        return self._run("-m", "tensorrt_surface.stub_file", self._bindings.package)

    def has(self) -> dict[str, list[str]]:
        """Names of the module's own (under no name) and of each class; its version under ``version``."""
        found: dict[str, list[str]] = json.loads(self._run("-c", _WHAT_IT_HAS, self._bindings.package))
        return found

    def _run(self, *told: str) -> str:
        paths = {"PYTHONPATH": f"{_PARTS}{os.pathsep}{self._package}", "LD_LIBRARY_PATH": str(self._libraries)}
        command = [sys.executable, *told]
        done = subprocess.run(command, env={**os.environ, **paths}, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{self._bindings.pin}: {done.stderr[-2000:]}"
        return done.stdout
