"""The contract of a controller: points that are read and written by name, over one connection."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping
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

    @abstractmethod
    async def read(self, point: str) -> int:
        """The value of a point; a bit is 0 or 1.

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
