"""Messages between two processes: JSON over a socket pair that keeps message boundaries (SOCK_SEQPACKET).

Written and read by pydantic's JSON, in a fifth of the time that Python's takes; what it does not take, as a file's
name that is no UTF-8, Python's does.
"""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json

MESSAGE_BYTES = 60_000
"""Longest message; well below what a socket takes at once."""
_ENCODER = json.JSONEncoder(separators=(",", ":"))


def encode(message: Mapping[str, Any]) -> bytes:
    """The bytes of ``message``.

    Raises:
        ValueError: it is too long.
    """
    try:
        encoded = to_json(message)
    except (PydanticSerializationError, UnicodeEncodeError):  # half a character, as in the name of a file
        encoded = _ENCODER.encode(message).encode()
    if len(encoded) > MESSAGE_BYTES:
        raise ValueError(f"a message of {len(encoded)} bytes; {MESSAGE_BYTES} is the most")
    return encoded


def decode(encoded: bytes) -> dict[str, Any]:
    """The message whose bytes these are."""
    try:
        decoded: dict[str, Any] = from_json(encoded)
    except ValueError:
        decoded = json.loads(encoded)
    return decoded


class Channel:
    """A child's end. Reading gives ``None`` once the parent is gone."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send, and wait while the other end is behind."""
        self._socket.sendall(encode(message))

    def receive(self) -> dict[str, Any] | None:
        """Wait for a message; ``None`` if the parent is gone."""
        received = self._socket.recv(MESSAGE_BYTES)
        return decode(received) if received else None

    def receive_if_there(self) -> tuple[bool, dict[str, Any] | None]:
        """Whether a message (or the end) was there, and what ``receive`` gives for it."""
        try:
            received = self._socket.recv(MESSAGE_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False, None
        return True, decode(received) if received else None

    def waiting(self, seconds: float = 0.0) -> bool:
        """Whether a message (or the end) is there, or comes within so many seconds."""
        return bool(select.select([self._socket], [], [], seconds)[0])
