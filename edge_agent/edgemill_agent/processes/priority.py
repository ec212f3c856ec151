"""Whose turn it is when a box has more to do than cores."""

from __future__ import annotations

import os

WORKER, LINK = 5, 10
"""Niceness above that of the line process, which keeps the deadlines. Anybody may stand back; to push needs root."""


def stand_back(by: int) -> None:
    """Let processes with more pressing work go first, from now on and with every thread that is yet to be made."""
    os.nice(by)
