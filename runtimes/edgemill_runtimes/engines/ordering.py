"""Several runs at once, their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TypeVar

Feeds = TypeVar("Feeds")
Token = TypeVar("Token")
Outputs = TypeVar("Outputs")


def in_order(
    feeds: Iterable[Feeds], depth: int, start: Callable[[Feeds], Token], finish: Callable[[Token], Outputs]
) -> Iterator[Outputs]:
    """Keep ``depth`` runs going and give their results in the order of ``feeds``.

    An error in ``feeds`` or in ``start`` comes after the results of all runs before it. Whoever stops early leaves no
    run going.
    """
    source, flying = iter(feeds), deque[Token]()
    ended: Exception | None = None
    try:
        while True:
            while ended is None and len(flying) < depth:
                try:
                    flying.append(start(next(source)))
                except Exception as error:  # told to the caller at its turn
                    ended = error
            if not flying:
                break
            yield finish(flying.popleft())
    finally:
        for token in flying:
            with suppress(Exception):
                finish(token)
    if ended is not None and not isinstance(ended, StopIteration):
        raise ended
