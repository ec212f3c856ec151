"""The contracts of a controller: one whose points are read and written, and one that speaks by itself, in messages."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

Found = TypeVar("Found")


class PlcError(Exception):
    """The controller cannot be reached, did not answer in time, or refused; the text says which."""


class Plc(ABC):
    """One connection. Nothing is asked of it while something is under way.

    Args:
        settings: the controller's own settings, as JSON values.
        timeout_s: longest that it may take to connect, and to answer.
    """

    def __init__(self, settings: Mapping[str, Any], timeout_s: float) -> None:
        self.settings = settings
        self.timeout_s = timeout_s

    @abstractmethod
    async def connect(self) -> None:
        """Open the connection, in place of an older one.

        Raises:
            PlcError: it does not open in time.
        """

    async def read(self, point: str) -> int:
        """The value of a point; a bit is 0 or 1.

        Raises:
            PlcError: no answer in time, a broken connection, or no such point.
        """
        return (await self.read_all({point: 16}))[point]

    @abstractmethod
    async def read_all(self, points: Mapping[str, int]) -> dict[str, int]:
        """The value of each point, in as few requests as there can be: what one request brings is of one moment.

        Args:
            points: and how many bits a number has there, 16 or 32.

        Raises:
            PlcError: no answer in time, a broken connection, or no such point.
        """

    @abstractmethod
    async def write(self, values: Mapping[str, int]) -> None:
        """Write each point; the last one only when the controller has confirmed all others.

        Raises:
            PlcError: no confirmation in time, a broken connection, or no such point. Some may have been written.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close the connection; one that is broken or was never open too."""


@dataclass(frozen=True)
class Message:
    """One that came.

    Attributes:
        payload: as it was sent.
        arrived_ns: when it came, by the monotonic clock of this machine.
    """

    payload: bytes
    arrived_ns: int


class Messages(ABC):
    """A controller that speaks by itself: the sibling of ``Plc``. One connection; each ``connect`` is a new one.

    Args:
        settings: where it is, as JSON values.
        timeout_s: longest that it may take to acknowledge a message.
    """

    def __init__(self, settings: Mapping[str, Any], timeout_s: float) -> None:
        self.settings = settings
        self.timeout_s = timeout_s

    @abstractmethod
    async def connect(self, listen: str | None = None, will: tuple[str, bytes] | None = None) -> None:
        """Open a connection, in place of an older one. Messages of before it are not heard, and none is sent again.

        Args:
            listen: topic of the messages that ``next`` gives.
            will: topic and retained payload that is published for us should we die.

        Raises:
            PlcError: it does not open in time, or we may not listen there.
        """

    @abstractmethod
    async def next(self) -> Message:
        """The next message; waits for one.

        Raises:
            PlcError: the connection broke, and all that came before was given.
        """

    @abstractmethod
    async def send(self, topic: str, payload: bytes, retain: bool = False) -> bool:
        """Until it is acknowledged. Says whether somebody listens, as far as that is known.

        Raises:
            PlcError: not in time, refused, or the connection broke. It may have been sent.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close the connection in order: no last will is sent. One that is broken or was never open too."""


async def within(seconds: float, asked: Awaitable[Found]) -> Found:
    """What ``asked`` gives. As a task of its own: a library may cancel its own waiting when a connection breaks.

    Raises:
        PlcError: it took longer, or was cancelled by whoever works on it.
        Exception: what it raised.
    """
    task = asyncio.ensure_future(asked)
    try:
        await asyncio.wait([task], timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not task.done():
        task.cancel()
        raise PlcError("no answer in time")
    if task.cancelled():
        raise PlcError("the connection broke")
    return task.result()
