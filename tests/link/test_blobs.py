"""Blobs come home whole, or not at all, however often the line breaks."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from cuts import calls_of

from edgemill_core.errors import LinkError
from edgemill_link.trust import blobs
from edgemill_link.trust.blobs import SPARE_BYTES, BlobStore, blob_path
from edgemill_link.trust.refusal import Attack, Refused
from edgemill_link.trust.source import FolderSource

CONTENT = random.Random(1).randbytes(3_000_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Breaking:
    """A source that breaks off after so many bytes, and counts what it sent."""

    def __init__(self, content: bytes, after: int) -> None:
        self.content, self.after, self.sent = content, after, 0

    def read(self, path: str, most: int) -> bytes:
        return b"".join(self.stream(path, most))

    def stream(self, path: str, most: int, start: int = 0) -> Iterator[bytes]:
        assert path == f"blobs/{blob_path(DIGEST)}"
        end = min(start + self.after, start + most, len(self.content))
        for at in range(start, end, 10_000):
            piece = self.content[at : min(at + 10_000, end)]
            self.sent += len(piece)
            yield piece
        if end < len(self.content):
            raise LinkError("broke off")


def test_a_line_that_breaks_fifty_times_costs_nothing_twice(tmp_path: Path) -> None:
    store, source = BlobStore(tmp_path), Breaking(CONTENT, len(CONTENT) // 50)
    breaks = 0
    while not store.has(DIGEST, len(CONTENT)):
        try:
            store.fetch(source, DIGEST, len(CONTENT))
        except LinkError:
            breaks += 1
            assert not store.path(DIGEST).exists()
    assert breaks >= 49
    assert source.sent == len(CONTENT)
    assert store.path(DIGEST).read_bytes() == CONTENT
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [DIGEST]


def test_other_bytes_are_thrown_away_and_the_next_server_is_asked_anew(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    altered = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
    with pytest.raises(Refused) as caught:
        store.fetch(Breaking(altered, 1 << 30), DIGEST, len(CONTENT))
    assert caught.value.attack is Attack.ALTERED
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    store.fetch(Breaking(CONTENT, 1 << 30), DIGEST, len(CONTENT))


def test_a_half_that_another_server_altered_is_found_out(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    altered = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
    with pytest.raises(LinkError):
        store.fetch(Breaking(altered, 1_000_000), DIGEST, len(CONTENT))
    with pytest.raises(Refused):  # all of it came from this one
        store.fetch(Breaking(altered, 1 << 30), DIGEST, len(CONTENT))
    with pytest.raises(LinkError):
        store.fetch(Breaking(altered, 1_000_000), DIGEST, len(CONTENT))
    honest = Breaking(CONTENT, 1 << 30)
    store.fetch(honest, DIGEST, len(CONTENT))
    assert store.path(DIGEST).read_bytes() == CONTENT
    assert honest.sent == 2 * len(CONTENT) - 1_000_000


@pytest.mark.parametrize("zeros", [1, 1_000_000, len(CONTENT)])
def test_what_a_power_cut_left_as_zeros_is_asked_for_again(tmp_path: Path, zeros: int) -> None:
    store, source = BlobStore(tmp_path), Breaking(CONTENT, 1 << 30)
    part = store.path(DIGEST).with_name(f"{DIGEST}.part")
    part.parent.mkdir()
    part.write_bytes(CONTENT[:-zeros] + bytes(zeros))
    store.fetch(source, DIGEST, len(CONTENT))
    assert store.path(DIGEST).read_bytes() == CONTENT
    assert source.sent == len(CONTENT)
    assert not part.exists()


def test_a_full_disk_is_said_before_a_byte_is_asked_for(tmp_path: Path) -> None:
    source = Breaking(CONTENT, 1 << 30)
    with pytest.raises(LinkError, match="no room"):
        BlobStore(tmp_path, free=lambda _: SPARE_BYTES + len(CONTENT) - 1).fetch(source, DIGEST, len(CONTENT))
    assert source.sent == 0
    BlobStore(tmp_path, free=lambda _: SPARE_BYTES + len(CONTENT)).fetch(source, DIGEST, len(CONTENT))


def test_a_blob_that_is_here_is_not_asked_for(tmp_path: Path) -> None:
    store, source = BlobStore(tmp_path), Breaking(CONTENT, 1 << 30)
    store.fetch(source, DIGEST, len(CONTENT))
    store.fetch(source, DIGEST, len(CONTENT))
    assert source.sent == len(CONTENT)


@pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1])
def test_a_stick_with_a_part_of_it_is_refused(tmp_path: Path, size: int) -> None:
    place = tmp_path / "stick" / "blobs" / blob_path(DIGEST)
    place.parent.mkdir(parents=True)
    place.write_bytes((CONTENT + b"x")[:size])
    with pytest.raises((LinkError, Refused)):
        BlobStore(tmp_path / "box").fetch(FolderSource(tmp_path / "stick"), DIGEST, len(CONTENT))
    assert not BlobStore(tmp_path / "box").has(DIGEST, len(CONTENT))


class Given:
    """A source that gives these bytes, whatever they are, and simply ends."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def read(self, path: str, most: int) -> bytes:
        return b"".join(self.stream(path, most))

    def stream(self, path: str, most: int, start: int = 0) -> Iterator[bytes]:
        yield from (self.content[at : at + 10_000] for at in range(start, len(self.content), 10_000))


def test_one_that_is_too_short_is_asked_for_again_and_no_attack(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    with pytest.raises(LinkError, match="broke off"):
        store.fetch(Given(CONTENT[:-1]), DIGEST, len(CONTENT))
    source = Breaking(CONTENT, 1 << 30)
    store.fetch(source, DIGEST, len(CONTENT))
    assert source.sent == 1


@pytest.mark.parametrize("lies_there", [CONTENT[:-1], CONTENT + b"x", b""])
def test_one_of_another_size_under_its_name_is_none(tmp_path: Path, lies_there: bytes) -> None:
    store = BlobStore(tmp_path)
    store.path(DIGEST).parent.mkdir()
    store.path(DIGEST).write_bytes(lies_there)
    assert not store.has(DIGEST, len(CONTENT))
    store.fetch(Given(CONTENT), DIGEST, len(CONTENT))
    assert store.path(DIGEST).read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_begun_anew(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    store.path(DIGEST).parent.mkdir()
    store.path(DIGEST).with_name(f"{DIGEST}.part").write_bytes(bytes(len(CONTENT) + 1))
    store.fetch(Given(CONTENT), DIGEST, len(CONTENT))
    assert store.path(DIGEST).read_bytes() == CONTENT


def test_what_came_already_needs_no_more_room(tmp_path: Path) -> None:
    with pytest.raises(LinkError):
        BlobStore(tmp_path).fetch(Breaking(CONTENT, 1_000_000), DIGEST, len(CONTENT))
    rest = len(CONTENT) - 1_000_000
    with pytest.raises(LinkError, match="no room"):
        BlobStore(tmp_path, free=lambda _: SPARE_BYTES + rest - 1).fetch(Given(CONTENT), DIGEST, len(CONTENT))
    BlobStore(tmp_path, free=lambda _: SPARE_BYTES + rest).fetch(Given(CONTENT), DIGEST, len(CONTENT))


def test_it_is_on_the_disk_before_it_has_its_name_and_its_name_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "_SYNC_BYTES", 1_000_000)
    store = BlobStore(tmp_path)
    calls = calls_of(lambda: store.fetch(Given(CONTENT), DIGEST, len(CONTENT)))
    part = str(store.path(DIGEST).with_name(f"{DIGEST}.part"))
    told = [(name, path) for name, path, _ in calls if name in ("fsync", "replace")]
    moved = told.index(("replace", part))
    assert told[:moved] == [("fsync", str(tmp_path)), *[("fsync", part)] * 4]  # each million bytes, and at the end
    assert told[moved + 1 :] == [("fsync", str(store.path(DIGEST).parent))]


def test_a_kernel_that_takes_a_little_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, piece: real(file, bytes(piece[:3_000])))
    BlobStore(tmp_path).fetch(Given(CONTENT), DIGEST, len(CONTENT))


def test_what_a_disk_lost_is_forgotten_and_nothing_else(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    store.fetch(Given(CONTENT), DIGEST, len(CONTENT))
    store.forget([DIGEST, "0" * 64])
    assert store.has(DIGEST, len(CONTENT))
    store.path(DIGEST).write_bytes(bytes(len(CONTENT)))
    store.forget([DIGEST])
    assert not store.has(DIGEST, len(CONTENT))
