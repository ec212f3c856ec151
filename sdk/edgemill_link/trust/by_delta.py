"""Blobs from what is here already and a delta, where that is less than half of them; else nothing is lost but a try.

A server that lies about a delta costs that delta, half a blob at most, and once: what came of it is compared with the
digest that was signed for, and from then on the blob is asked for as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgemill_core.durable import write_bytes
from edgemill_core.errors import EdgemillError, LinkError
from edgemill_link.trust.blobs import BlobStore, bring, known_of, write_all
from edgemill_link.trust.delta import blob_from
from edgemill_link.trust.delta_index import (
    LEAST_BLOB,
    MOST_INDEX_BYTES,
    DeltaIndex,
    delta_path,
    index_path,
    parse_index,
)
from edgemill_link.trust.refusal import Attack, Refused
from edgemill_link.trust.source import PIECE, Source

_PLAIN, _DELTA, _MADE = "plain", "delta.part", "made"
"""Behind a blob's name: it is to be fetched as a whole; a delta on its way; the blob on its way out of one."""


@dataclass(frozen=True)
class Choice:
    """A delta to fetch.

    Attributes:
        base: blob that it leads from, which is here.
        size: in bytes.
    """

    base: str
    size: int


def choose(worth: dict[str, int], here: Callable[[str], bool], known: Callable[[str], int], left: int) -> Choice | None:
    """The delta of which the least is yet to come, unless less is to come of the blob itself.

    Args:
        worth: length of each, by its base.
        here: whether a base is.
        known: bytes of a base's delta that came already.
        left: what is yet to come of the blob as a whole.
    """
    found = [(size - known(base), base) for base, size in sorted(worth.items()) if here(base)]
    least, base = min(found, default=(left, ""))
    return Choice(base, worth[base]) if base and least < left else None


class ByDelta:
    """Deltas of one source.

    Args:
        say: told of a delta that was of no use.

    Attributes:
        used: blobs that were made of a delta.
        saved: bytes that did not have to come for it.
        failed: deltas that did not lead to their blob.
    """

    def __init__(self, source: Source, blobs: BlobStore, say: Callable[[str], None] = lambda _: None) -> None:
        self._source, self._blobs, self._say = source, blobs, say
        self.used = self.saved = self.failed = 0

    def fetch(self, digest: str, length: int, tell: Callable[[int], None] = lambda _: None) -> bool:
        """Make a blob of a delta, if there is one that saves at least half; gives whether the blob is here now.

        Args:
            tell: hears of every piece, in bytes, and at the end of what did not have to come.

        Raises:
            LinkError, Refused: the line broke, or is too slow, in the middle of a delta; what came is kept, and it goes
                on from there.
        """
        if length < LEAST_BLOB or self._blobs.has(digest, length) or self._beside(digest, _PLAIN).exists():
            return False
        choice = self._choice(digest, length)
        if choice is None:
            return False
        try:
            if not self._bring(digest, choice, tell):
                return False
            self._make(digest, choice, length)
        except Refused as refusal:
            if refusal.attack is Attack.SLOW:  # and so would the blob be
                raise
            self._give_up(digest, refusal)
            return False
        self.used += 1
        self.saved += length - choice.size
        tell(length - choice.size)
        return True

    def _choice(self, digest: str, length: int) -> Choice | None:
        left = length - known_of(self._blobs.part(digest), length)
        worth = self._index(digest).worth(length)
        choice = choose(worth, self._here, lambda base: known_of(self._part(digest, base), worth[base]), left)
        if choice is None or not self._blobs.has_room(choice.size + length):
            return None
        return choice

    def _here(self, base: str) -> bool:
        return self._blobs.path(base).is_file()

    def _index(self, digest: str) -> DeltaIndex:
        """The list; an empty one if there is none, or none that can be read: twice, a line breaks more often."""
        for _ in range(2):
            try:
                return parse_index(self._source.read(index_path(digest), MOST_INDEX_BYTES))
            except Refused as refusal:
                if refusal.attack is not Attack.MISSING:
                    self._told(digest, refusal)
                break
            except LinkError:
                continue
        return DeltaIndex()

    def _bring(self, digest: str, choice: Choice, tell: Callable[[int], None]) -> bool:
        part = self._part(digest, choice.base)
        before = known_of(part, choice.size)
        try:
            bring(self._source, delta_path(digest, choice.base), part, choice.size, tell)
        except (LinkError, Refused) as error:
            wrong = isinstance(error, Refused) and error.attack is not Attack.SLOW
            if wrong or known_of(part, choice.size) > before:
                raise
            self._told(digest, error)  # this server may give blobs all the same
            return False
        return True

    def _make(self, digest: str, choice: Choice, length: int) -> None:
        made, part = self._beside(digest, _MADE), self._part(digest, choice.base)
        with part.open("rb") as delta, made.open("wb") as file:
            pieces = iter(lambda: delta.read(PIECE), b"")
            for piece in blob_from(pieces, self._blobs.path(choice.base), length):
                write_all(file.fileno(), piece)
            os.fsync(file.fileno())
        self._blobs.keep(made, digest, length)
        for left in (part, self._blobs.part(digest)):
            left.unlink(missing_ok=True)

    def _give_up(self, digest: str, refusal: Refused) -> None:
        """From now on the whole blob is asked for."""
        write_bytes(self._beside(digest, _PLAIN), b"")
        self._told(digest, refusal)
        self.failed += 1
        folder = self._blobs.path(digest).parent
        for left in (*folder.glob(f"{digest}.*.{_DELTA}"), self._beside(digest, _MADE)):
            with suppress(FileNotFoundError):
                left.unlink()

    def _told(self, digest: str, error: EdgemillError) -> None:
        self._say(f"blob {digest[:12]} is fetched as a whole: {error.what} ({error.got})")

    def _part(self, digest: str, base: str) -> Path:
        return self._beside(digest, f"{base}.{_DELTA}")

    def _beside(self, digest: str, end: str) -> Path:
        return self._blobs.path(digest).with_name(f"{digest}.{end}")
