"""The README's promise: `make demo` and `make test` in a fresh clone, with nothing there but Python and make."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

from form import Row, at_most, main

ROOT = Path(__file__).parents[1]


def minutes(folder: Path, target: str) -> float:
    start = time.perf_counter()
    subprocess.run(["make", target], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return (time.perf_counter() - start) / 60


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as scratch:
        clone = Path(scratch, "edgemill")
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        return [
            at_most("fresh clone", "make demo, set-up included", "min", minutes(clone, "demo"), 5, 1),
            at_most("fresh clone", "make test", "min", minutes(clone, "test"), 8, 1),
        ]


if __name__ == "__main__":
    main(measure)
