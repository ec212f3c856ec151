"""Environments of their own for what a benchmark compares with and the project does not depend on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def python_with(folder: Path, packages: Sequence[str], files: Sequence[str] = ()) -> Path:
    """The interpreter of the environment ``folder/env``, which is made once, or again if that was broken off.

    Args:
        packages: to install.
        files: packages whose own dependencies are not needed, only their files.
    """
    env = folder / "env"
    python, whole = env / "bin" / "python", env / "whole"
    if not whole.is_file():
        print(f"installing {packages[0]}, once …", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", env], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *packages], check=True)
        if files:
            subprocess.run([*pip, "--no-deps", *files], check=True)
        whole.touch()
    return python
