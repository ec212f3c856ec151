"""What the agent tells the system's supervisor: that it is ready, alive, or ending (sd_notify(3))."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress


class Supervisor:
    """systemd's end of a service, by the socket that it names in the environment; without one nothing is told.

    Args:
        environment: of this process.
        own_pid: of this process.
    """

    def __init__(self, environment: Mapping[str, str], own_pid: int) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # A name in Linux's abstract space is written with an @ in front.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        meant = environment.get("WATCHDOG_PID", str(own_pid)) == str(own_pid)
        given = environment.get("WATCHDOG_USEC", "")
        self.beat_s = int(given) / 2e6 if self._address and meant and given.isdigit() and int(given) > 0 else None
        """Seconds between two signs of life: half of what the supervisor waits; ``None`` if it waits for none."""

    def ready(self) -> None:
        """Everything is started."""
        self._tell("READY=1")

    def alive(self) -> None:
        """The process still does its work."""
        self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """It ends in order, which may take a while."""
        self._tell("STOPPING=1")

    def _tell(self, what: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.setblocking(False)  # a supervisor that hangs must not hold up a deadline
            told.sendto(what.encode(), self._address)
