"""The agent that runs on a state folder, and how it is told to read its settings again."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from edgemill_core.errors import MissingPartError


def line_process(state: Path) -> int:
    """Id of the line process that runs on a state folder.

    Raises:
        MissingPartError: none does.
    """
    try:
        pid = int(json.loads((state / "processes.json").read_text())["line"])
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError, KeyError) as error:
        raise _nobody(state, str(error)) from error
    if b"agent" not in words:
        raise _nobody(state, f"process {pid} is something else")
    return pid


def hang_up(line: int) -> None:
    """Have it read its settings again.

    Raises:
        MissingPartError: it cannot be told.
    """
    try:
        os.kill(line, signal.SIGHUP)
    except OSError as error:
        raise MissingPartError(
            f"the agent, process {line}, cannot be told",
            expected="an agent that this user may send a signal to",
            got=str(error),
            fix="say it as root or as the user who runs the agent, or: systemctl reload edgemill-agent",
        ) from error


def _nobody(state: Path, got: str) -> MissingPartError:
    return MissingPartError(
        f"no agent runs on {state}",
        expected="a running agent, as processes.json in its state folder names it",
        got=got,
        fix="start it: edgemill agent run agent.yaml",
    )
