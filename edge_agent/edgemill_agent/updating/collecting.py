"""What of old releases may go: a decision about names and sizes, without a disk.

Kept is what judges, is tried, or is named in the settings, what an update on its way needs, the way back, and whatever
a part that can still be judged again was judged by. Everything else goes. Where the disk is too small for a new
release, the way back goes too, then what records need, the oldest first: the release can be fetched again by its
digest, and an update that never fits helps nobody. What judges, is tried or named never goes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_BLOB = re.compile(r"\.?([0-9a-f]{64})(\..+)?")


@dataclass(frozen=True)
class Lying:
    """A bundle in its place.

    Attributes:
        name: of the release.
        folder: among those of its name, ``VERSION-DIGEST12``.
        blobs: sizes of its files in bytes, by their SHA-256; ``None`` where its manifest cannot be read.
        made: when it was laid there; a larger number is later.
    """

    name: str
    folder: str
    blobs: Mapping[str, int] | None
    made: int

    @property
    def short(self) -> str:
        """The beginning of its content's digest."""
        return self.folder.rpartition("-")[2]


@dataclass(frozen=True)
class Needs:
    """What is needed, and for what; bundles by the digest of their content.

    Attributes:
        now: what judges, is tried, was started last, or is on its way.
        named: name and folder of those that the settings name by their place.
        previous: the ways back.
        replay: what parts were judged by that can be judged again; ``None`` where nobody can say.
        coming: blobs of updates on their way, by their SHA-256.
    """

    now: frozenset[str]
    named: frozenset[tuple[str, str]] = frozenset()
    previous: frozenset[str] = frozenset()
    replay: frozenset[str] | None = frozenset()
    coming: frozenset[str] = frozenset()

    def at_once(self, one: Lying) -> bool:
        """Whether a bundle stays whatever else there is no room for."""
        return (one.name, one.folder) in self.named or _among(one, self.now)

    def later(self, one: Lying) -> bool:
        """Whether it stays as long as there is room."""
        return _among(one, self.previous) or self.replay is None or _among(one, self.replay)


def unneeded(lying: Iterable[Lying], needs: Needs) -> list[Lying]:
    """Bundles that go."""
    return [one for one in lying if not needs.at_once(one) and not needs.later(one)]


def given_up(lying: Sequence[Lying], needs: Needs, short: int) -> list[Lying]:
    """Bundles that go so that ``short`` bytes more are free; none if all that may go would not free as much.

    The ways back go first that no record needs, then what records need, the oldest first.
    """
    may_go = sorted((one for one in lying if not needs.at_once(one)), key=lambda one: (_recorded(one, needs), one.made))
    for count in range(len(may_go) + 1):
        gone = may_go[:count]
        if freed(gone, [one for one in lying if one not in gone], needs) >= short:
            return gone
    return []


def freed(gone: Iterable[Lying], stay: Sequence[Lying], needs: Needs) -> int:
    """Bytes that nobody needs any more once ``gone`` are; files are shared between bundles."""
    kept = kept_blobs(stay, needs)
    sizes = {digest: size for one in gone for digest, size in (one.blobs or {}).items()}
    return sum(size for digest, size in sizes.items() if kept is not None and digest not in kept)


def kept_blobs(stay: Iterable[Lying], needs: Needs) -> frozenset[str] | None:
    """Blobs that are needed; ``None`` where a manifest cannot be read, so that nobody can say."""
    found = set(needs.coming)
    for one in stay:
        if one.blobs is None:
            return None
        found |= one.blobs.keys()
    return frozenset(found)


def blobs_to_go(files: Sequence[str], stay: Iterable[Lying], needs: Needs) -> list[str]:
    """Files in the store of blobs that go: blobs that nobody needs, and what was left beside those that are whole.

    Args:
        files: their names: a blob's is its SHA-256, and what is beside it begins with that.
    """
    kept = kept_blobs(stay, needs)
    if kept is None:
        return []
    gone = []
    for file in files:
        found = _BLOB.fullmatch(file)
        if found is None:
            continue
        digest, whole = found[1], file == found[1]
        if digest not in kept if whole else digest not in needs.coming or digest in files:
            gone.append(file)
    return gone


def _among(one: Lying, digests: Iterable[str]) -> bool:
    return any(digest[:12] == one.short for digest in digests)


def _recorded(one: Lying, needs: Needs) -> bool:
    return needs.replay is None or _among(one, needs.replay)
