"""The agent as a systemd service: started at boot, started again when it fails or hangs, run by an ordinary user."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

NAME = "edgemill-agent.service"
WATCHDOG_S = 30
"""A line process whose event loop shows no life for longer is ended and started again."""
_AGAIN_S = 5
_STOP_S = 15
"""What a stop may take beyond what the settings grant."""


def unit_text(command: Sequence[str | Path], settings: Path, drain_s: float, user: str | None) -> str:
    """The unit file, systemd.service(5).

    It never gives up: what fails now, a mount or a camera that is not there yet, may be mended while nobody looks.

    Args:
        command: that runs the agent, without the settings.
        settings: path of ``agent.yaml``, absolute.
        drain_s: see ``AgentSettings``; a stop takes it twice at most.
        user: who runs it, for a service of the system; ``None`` for one of the user's own.
    """
    start = " ".join(_quoted(str(word)) for word in (*command, settings))
    lines = [
        "[Unit]",
        "Description=Edgemill agent",
        "StartLimitIntervalSec=0",
        *(["After=network.target"] if user else []),
        "",
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        f"ExecStart={start}",
        "ExecReload=/bin/kill -HUP $MAINPID",
        f"WorkingDirectory={_escaped(str(settings.parent))}",
        f"WatchdogSec={WATCHDOG_S}",
        "Restart=on-failure",
        f"RestartSec={_AGAIN_S}",
        f"TimeoutStopSec={round(2 * drain_s) + _STOP_S}",
        "TimeoutStartSec=infinity",
        "KillMode=mixed",
        "NoNewPrivileges=yes",
        *([f"User={user}", "ProtectSystem=full", "PrivateTmp=yes"] if user else []),
        "",
        "[Install]",
        f"WantedBy={'multi-user' if user else 'default'}.target",
    ]
    return "\n".join(lines) + "\n"


def _escaped(word: str) -> str:
    return word.replace("%", "%%")


def _quoted(word: str) -> str:
    inner = _escaped(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{inner}"' if inner != word or " " in word or "'" in word else word
