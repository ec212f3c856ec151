"""The agent as a systemd service: started at boot, started again when it fails or hangs, run by an ordinary user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NAME = "edgemill-agent.service"
WATCHDOG_S = 30
"""A line process whose event loop shows no life for longer is ended and started again."""
_AGAIN_S = 5
_STOP_S = 15
"""What a stop may take beyond what the settings grant."""


PRIORITY = 10
"""Real-time priority that the unit lets the line process take; workers never have one (see ``processes.priority``)."""
_DEVICES = ("video", "render")
"""Groups that cameras and accelerators belong to."""


@dataclass(frozen=True)
class Service:
    """What the unit is about.

    Attributes:
        command: that runs the agent, without the settings.
        settings: path of ``agent.yaml``, absolute.
        state: the state folder, absolute.
        drain_s: see ``AgentSettings``; a stop takes it twice at most.
        user: who runs it, for a service of the system; ``None`` for one of the user's own.
        groups: of this machine.
    """

    command: Sequence[str | Path]
    settings: Path
    state: Path
    drain_s: float
    user: str | None
    groups: frozenset[str] = frozenset()


def unit_text(service: Service) -> str:
    """The unit file, systemd.service(5).

    It never gives up: what fails now, a mount or a camera that is not there yet, may be mended while nobody looks. A
    worker that the kernel kills for want of memory is started again by the line process, so systemd leaves it to that.
    """
    start = " ".join(_quoted(str(word)) for word in (*service.command, service.settings))
    lines = [
        "[Unit]",
        "Description=Edgemill agent",
        "StartLimitIntervalSec=0",
        *(["After=network.target"] if service.user else []),
        "",
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        f"ExecStart={start}",
        "ExecReload=/bin/kill -HUP $MAINPID",
        f"WorkingDirectory={_escaped(str(service.settings.parent))}",
        f"WatchdogSec={WATCHDOG_S}",
        "Restart=on-failure",
        f"RestartSec={_AGAIN_S}",
        f"TimeoutStopSec={round(2 * service.drain_s) + _STOP_S}",
        "TimeoutStartSec=infinity",
        "KillMode=mixed",
        "OOMPolicy=continue",
        "NoNewPrivileges=yes",
        *(_of_the_system(service, service.user) if service.user else []),
        "",
        "[Install]",
        f"WantedBy={'multi-user' if service.user else 'default'}.target",
    ]
    return "\n".join(lines) + "\n"


def _of_the_system(service: Service, user: str) -> Sequence[str]:
    """What only a service of the system may say.

    Left out on purpose: PrivateDevices (cameras, accelerators), MemoryDenyWriteExecute (runtimes compile), ProtectClock
    (it forbids to ask whether the clock is kept right), RestrictRealtime.
    """
    groups = [group for group in _DEVICES if group in service.groups]
    return [
        f"User={user}",
        *([f"SupplementaryGroups={' '.join(groups)}"] if groups else []),
        f"LimitRTPRIO={PRIORITY}",
        "UMask=0027",
        "ProtectSystem=strict",
        f"ReadWritePaths={_word(f'-{service.state}')}",
        "PrivateTmp=yes",
        "ProtectKernelTunables=yes",
        "ProtectKernelModules=yes",
        "ProtectControlGroups=yes",
        "LockPersonality=yes",
        "RestrictSUIDSGID=yes",
        "SystemCallArchitectures=native",
    ]


def _escaped(word: str) -> str:
    return word.replace("%", "%%")


def _quoted(word: str) -> str:
    """A word of a command line, where a dollar begins a variable."""
    return _word(word.replace("$", "$$"))


def _word(word: str) -> str:
    inner = _escaped(word).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inner}"' if inner != word or " " in word or "'" in word else word
