"""Messages that came and wait to be taken, bounded in bytes: a few boxes that say much are not to fill the memory."""

from __future__ import annotations

import queue
from collections import deque

_EACH = 200
"""Bytes of an empty message, about."""


class Waiting(queue.Queue[tuple[str, bytes]]):
    """A queue that is full by what its messages hold; by one message more, at most.

    Args:
        most_bytes: after which whoever puts something in has to wait.
    """

    def __init__(self, most_bytes: int) -> None:
        super().__init__(most_bytes)

    def _init(self, maxsize: int) -> None:  # noqa: ARG002 (as the base class calls it)
        self._messages: deque[tuple[str, bytes]] = deque()
        self._bytes = 0

    def _qsize(self) -> int:
        return self._bytes

    def _put(self, item: tuple[str, bytes]) -> None:
        self._messages.append(item)
        self._bytes += _size(item)

    def _get(self) -> tuple[str, bytes]:
        item = self._messages.popleft()
        self._bytes -= _size(item)
        return item


def _size(item: tuple[str, bytes]) -> int:
    return _EACH + len(item[0]) + len(item[1])
