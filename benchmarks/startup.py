"""How long `import edgemill` and `edgemill --help` take, beside a bare interpreter."""

from __future__ import annotations

import sys
from pathlib import Path

from form import Row, at_most, in_turns, main

RUNS = 15
COMMAND = str(Path(sys.executable).parent / "edgemill")
BARE = [sys.executable, "-c", "pass"]


def measure() -> list[Row]:
    importing, bare = in_turns([sys.executable, "-c", "import edgemill"], BARE, RUNS)
    helping, bare_too = in_turns([COMMAND, "--help"], BARE, RUNS)
    return [
        at_most("startup", "import edgemill", "s", importing, 0.3, RUNS, bare),
        at_most("startup", "edgemill --help", "s", helping, 0.7, RUNS, bare_too),
    ]


if __name__ == "__main__":
    main(measure)
