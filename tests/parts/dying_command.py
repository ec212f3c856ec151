"""``edgemill``, ended by SIGKILL at a moment of an update: ``python dying_command.py MOMENT COMMAND…``.

The moment is a state, as soon as ``updates.json`` says so, or ``fetching``: half of a blob is there.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from edgemill.cli import main

FETCHING = "fetching"


def die() -> None:
    """As by the kernel: nothing is flushed, closed or cleared up."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_fetching() -> None:
    """With the first half of the first piece of a blob written."""
    write = os.write

    def half(file: int, piece: Any) -> int:
        if os.readlink(f"/proc/self/fd/{file}").endswith(".part"):
            write(file, piece[: len(piece) // 2])
            die()
        return write(file, piece)

    os.write = half


def die_in(state: str) -> None:
    """Once the book says ``state`` of any update."""
    replace = os.replace

    def watched(source: Any, target: Any) -> None:
        replace(source, target)
        if os.path.basename(target) == "updates.json":
            with open(target, encoding="utf-8") as file:
                if state in [one["state"] for one in json.load(file)["updates"].values()]:
                    die()

    os.replace = watched


if __name__ == "__main__":
    moment, *command = sys.argv[1:]
    die_fetching() if moment == FETCHING else die_in(moment)
    sys.argv = ["edgemill", *command]
    main()
