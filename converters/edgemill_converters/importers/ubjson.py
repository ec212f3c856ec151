"""UBJSON, as far as XGBoost writes it: read without recursion beyond a bound, and never more than there is.

Format: https://ubjson.org (draft 12): a marker, then the value; containers may say type and number of what they hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

DEEPEST = 32
_NUMBERS = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
_PLAIN = {"Z": None, "T": True, "F": False}


def read_ubjson(content: bytes) -> Any:
    """The value in ``content``; lists of numbers of one type come as arrays.

    Raises:
        ValueError: cut off, nested too deep, a key twice, or no UBJSON; in words.
    """
    reader = _Reader(content)
    found = reader.value(reader.marker(), 0)
    if reader.place != len(content):
        raise ValueError(f"{len(content) - reader.place} bytes behind its end")
    return found


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self.place = 0

    def value(self, marker: str, depth: int) -> Any:
        """The value behind ``marker``."""
        if depth > DEEPEST:
            raise ValueError(f"nested deeper than {DEEPEST}")
        if marker in _PLAIN:
            return _PLAIN[marker]
        if marker in _NUMBERS:
            return self._numbers(marker, 1)[0].item()
        if marker in ("S", "C"):
            return self._text(self._count() if marker == "S" else 1)
        containers: dict[str, Callable[[int], Any]] = {"[": self._list, "{": self._object}
        if marker not in containers:
            raise ValueError(f"byte {self.place - 1} is no marker: {marker!r}")
        return containers[marker](depth + 1)

    def marker(self) -> str:
        """The next byte."""
        return self._take(1).decode("latin-1")

    def _list(self, depth: int) -> Any:
        kind, count = self._head()
        if kind in _NUMBERS and count is not None:
            return self._numbers(kind, count)
        found: list[Any] = []
        while not self._ended("]", count, len(found)):
            found.append(self.value(kind or self.marker(), depth))
        return found

    def _object(self, depth: int) -> dict[str, Any]:
        kind, count = self._head()
        found: dict[str, Any] = {}
        while not self._ended("}", count, len(found)):
            key = self._text(self._count())
            if key in found:
                raise ValueError(f"the key {key[:40]!r} twice")
            found[key] = self.value(kind or self.marker(), depth)
        return found

    def _head(self) -> tuple[str, int | None]:
        """Type and number of what a container holds, where it says so."""
        kind = ""
        if self._next() == "$":
            self.place += 1
            kind = self.marker()
            if kind in _PLAIN or self._next() != "#":  # values without bytes could be any number of nothing
                raise ValueError(f"a container of type {kind!r} that nobody writes")
        if self._next() != "#":
            return kind, None
        self.place += 1
        count = self._count()
        if count > len(self._content) - self.place:
            raise ValueError(f"a container of {count} values in {len(self._content)} bytes")
        return kind, count

    def _ended(self, marker: str, count: int | None, found: int) -> bool:
        if count is not None:
            return found == count
        ended = self._next() == marker
        self.place += ended
        return ended

    def _next(self) -> str:
        return self._content[self.place : self.place + 1].decode("latin-1")

    def _count(self) -> int:
        marker = self.marker()
        if marker not in ("i", "U", "I", "l", "L"):
            raise ValueError(f"byte {self.place - 1} is no length: {marker!r}")
        count = int(self._numbers(marker, 1)[0])
        if count < 0:
            raise ValueError(f"a length of {count}")
        return count

    def _text(self, length: int) -> str:
        return self._take(length).decode("utf-8")

    def _numbers(self, marker: str, count: int) -> Any:
        dtype = np.dtype(_NUMBERS[marker])
        return np.frombuffer(self._take(count * dtype.itemsize), dtype).astype(dtype.newbyteorder("="))

    def _take(self, count: int) -> bytes:
        if count > len(self._content) - self.place:
            raise ValueError(f"cut off: {len(self._content)} bytes, where {self.place + count} are needed")
        self.place += count
        return self._content[self.place - count : self.place]
