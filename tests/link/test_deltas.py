"""Deltas lead to the blob to the last bit, or cost no more than themselves, once."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from backports import zstd
from cuts import killed_before
from hypothesis import given, settings
from hypothesis import strategies as some

from edgemill_core.errors import LinkError
from edgemill_link.trust import delta
from edgemill_link.trust.blobs import SPARE_BYTES, BlobStore, blob_path
from edgemill_link.trust.by_delta import ByDelta, choose
from edgemill_link.trust.delta import MAGIC, blob_from, delta_of
from edgemill_link.trust.delta_index import MOST_INDEX_BYTES, delta_path, index_path
from edgemill_link.trust.refusal import Attack, Refused
from edgemill_link.trust.source import FolderSource

OLD = random.Random(1).randbytes(400_000)
NEW = OLD[:100_000] + random.Random(2).randbytes(20_000) + OLD[120_000:] + b"more"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def made(new: bytes, old: bytes, folder: Path) -> bytes:
    (folder / "new").write_bytes(new)
    (folder / "old").write_bytes(old)
    return b"".join(delta_of(folder / "new", folder / "old"))


def back(told: bytes, folder: Path, length: int, piece: int = 1000) -> bytes:
    pieces = (told[at : at + piece] for at in range(0, len(told), piece))
    return b"".join(blob_from(pieces, folder / "old", length))


# --- the form ---


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delta, "CHUNK", 4096)
    monkeypatch.setattr(delta, "REACH", 1000)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 4095, 4096, 4097, 8192, 20_000])
@pytest.mark.parametrize("before", [0, 1, 8, 4096, 20_001])
def test_every_length_leads_to_the_last_bit(small_chunks: None, tmp_path: Path, size: int, before: int) -> None:
    new, old = OLD[:size], OLD[:before]
    assert back(made(new, old, tmp_path), tmp_path, size) == new


@settings(max_examples=20, deadline=None)
@given(some.data())
def test_whatever_changed_leads_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, data: some.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("delta")
    new = bytearray(OLD[:12_000])
    for _ in range(data.draw(some.integers(0, 5))):
        at = data.draw(some.integers(0, len(new)))
        new[at : at + data.draw(some.integers(0, 5000))] = data.draw(some.binary(max_size=2000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delta, "CHUNK", 4096)
        patch.setattr(delta, "REACH", 1000)
        told = made(bytes(new), OLD[:12_000], folder)
        assert back(told, folder, len(new), data.draw(some.integers(1, 5000))) == new


def test_what_moved_costs_little_and_so_does_what_changed_a_little(tmp_path: Path) -> None:
    moved = OLD[:100] + b"a new class" * 30 + OLD[100:]
    assert len(made(moved, OLD, tmp_path)) < 1000
    weights = np.frombuffer(OLD, np.int8)
    steps = np.random.default_rng(3).integers(-1, 2, len(weights))
    trained = (weights.clip(-126, 126) + steps).astype(np.int8).tobytes()
    told = made(trained, OLD, tmp_path)
    assert len(told) < len(OLD) // 3  # 1.6 bits of 8 are new
    assert back(told, tmp_path, len(OLD)) == trained


def test_another_base_leads_elsewhere_and_no_further(tmp_path: Path) -> None:
    told = made(NEW, OLD, tmp_path)
    (tmp_path / "old").write_bytes(OLD[::-1])
    assert back(told, tmp_path, len(NEW)) != NEW


def frame(content: bytes, window: int = 20) -> bytes:
    maker = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: window})
    return maker.compress(content) + maker.flush()


SKIPPED = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"none"


@pytest.mark.parametrize(
    ("told", "got"),
    [
        (b"", "another beginning"),
        (b"EMDELTA2" + b"\0" + frame(NEW), "another beginning"),
        (MAGIC, "unknown kind"),
        (MAGIC + b"\2" + frame(NEW), "unknown kind"),
        (MAGIC + b"\0", "breaks off"),
        (MAGIC + b"\0" + frame(NEW)[:-1], "breaks off"),
        (MAGIC + b"\0" + NEW, ""),
        (MAGIC + b"\0" + frame(NEW[:-1]), "too short"),
        (MAGIC + b"\0" + frame(b""), "too short"),
        (MAGIC + b"\0" + SKIPPED, "too short"),
        (MAGIC + b"\0" + frame(NEW + b"x"), "too long"),
        (MAGIC + b"\0" + frame(bytes(20_000_000)), "too long"),
        (MAGIC + b"\1" + frame(bytes(20_000_000)), "too long"),
        (MAGIC + b"\0" + frame(NEW) + b"x", "behind its end"),
        (MAGIC + b"\0" + frame(NEW, window=27), ""),
    ],
)
def test_what_is_no_delta_is_said_and_nothing_more_comes(tmp_path: Path, told: bytes, got: str) -> None:
    (tmp_path / "old").write_bytes(OLD)
    came: list[int] = []
    with pytest.raises(Refused) as caught:
        came.extend(map(len, blob_from([told], tmp_path / "old", len(NEW))))
    assert caught.value.attack is Attack.ALTERED
    assert got in str(caught.value.got)
    assert sum(came) <= len(NEW)


@settings(max_examples=40, deadline=None)
@given(where=some.integers(0, 25_000), byte=some.integers(1, 255), cut=some.booleans())
def test_a_delta_that_was_tampered_with_leads_elsewhere_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, where: int, byte: int, cut: bool
) -> None:
    folder = tmp_path_factory.getbasetemp() / "tampered"
    folder.mkdir(exist_ok=True)
    told = bytearray(made(NEW, OLD, folder))
    where %= len(told)
    told[where:] = b"" if cut else bytes([told[where] ^ byte]) + told[where + 1 :]
    try:
        out = back(bytes(told), folder, len(NEW), 1 << 16)
    except Refused:
        return
    assert len(out) == len(NEW)


# --- which one ---

BASES = [digest(bytes([number])) for number in range(4)]


@given(
    some.dictionaries(some.sampled_from(BASES), some.integers(1, 50)),
    some.sets(some.sampled_from(BASES)),
    some.dictionaries(some.sampled_from(BASES), some.integers(0, 50)),
    some.integers(0, 100),
)
def test_the_least_that_is_yet_to_come_is_chosen(
    worth: dict[str, int], here: set[str], known: Mapping[str, int], left: int
) -> None:
    got = choose(worth, here.__contains__, lambda base: min(known.get(base, 0), worth[base]), left)
    rest = {base: worth[base] - min(known.get(base, 0), worth[base]) for base in worth.keys() & here}
    if got is None:
        assert all(one >= left for one in rest.values())
    else:
        assert got.size == worth[got.base]
        assert rest[got.base] == min(rest.values()) < left


# --- from a source ---


class Server:
    """Files by their path; counts what it sent, and breaks off or ends where it is told to."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.sent, self.asked = files, 0, list[str]()
        self.breaks: dict[str, int] = {}
        self.slow = False

    def read(self, path: str, most: int) -> bytes:
        return b"".join(self.stream(path, most))

    def stream(self, path: str, most: int, start: int = 0) -> Iterator[bytes]:
        self.asked.append(path)
        content = self.files.get(path)
        end = start + self.breaks.get(path, 1 << 40)
        if content is None:
            raise Refused(Attack.MISSING, path, expected="", got="", fix="")
        for at in range(start, min(len(content), end), 1000):
            piece = content[at : min(at + 1000, end)]
            self.sent += len(piece)
            most -= len(piece)
            if most < 0:
                raise Refused(Attack.ENDLESS, path, expected="", got="", fix="")
            yield piece
        if len(content) > end:
            if self.slow:
                raise Refused(Attack.SLOW, path, expected="", got="", fix="")
            raise LinkError("broke off")


class Download:
    """A box with the old blob, and a server with the new one and a delta."""

    def __init__(self, folder: Path) -> None:
        self.told = made(NEW, OLD, folder)
        self.blob, self.delta = f"blobs/{blob_path(digest(NEW))}", delta_path(digest(NEW), digest(OLD))
        self.index = index_path(digest(NEW))
        listed = json.dumps({"deltas": {digest(OLD): len(self.told), "0" * 64: 10}}).encode()
        self.server = Server({self.blob: NEW, self.delta: self.told, self.index: listed})
        self.store = BlobStore(folder / "box")
        old = self.store.path(digest(OLD))
        old.parent.mkdir(parents=True)
        old.write_bytes(OLD)
        self.said: list[str] = []

    def run(self) -> ByDelta:
        deltas = ByDelta(self.server, self.store, self.said.append)
        if not deltas.fetch(digest(NEW), len(NEW)):
            self.store.fetch(self.server, digest(NEW), len(NEW))
        assert self.store.path(digest(NEW)).read_bytes() == NEW
        return deltas

    def left(self) -> list[str]:
        names = (path.name for path in self.store.folder.rglob("*") if path.is_file())
        return sorted(name for name in names if len(name) != 64)


@pytest.fixture
def download(tmp_path: Path) -> Download:
    return Download(tmp_path)


def test_a_blob_comes_by_the_delta_from_what_is_here(download: Download) -> None:
    deltas = download.run()
    assert (deltas.used, deltas.failed) == (1, 0)
    assert deltas.saved == len(NEW) - len(download.told)
    assert download.server.asked == [download.index, download.delta]
    assert download.server.sent < len(NEW) // 10
    assert (download.left(), download.said) == ([], [])


def test_without_the_base_the_whole_blob_comes(download: Download) -> None:
    download.store.path(digest(OLD)).unlink()
    assert download.run().used == 0
    assert download.server.asked == [download.index, download.blob]


def test_a_delta_that_breaks_off_goes_on_and_no_byte_comes_twice(download: Download) -> None:
    download.server.breaks = {download.delta: 1500}
    breaks = 0
    while not download.store.has(digest(NEW), len(NEW)):
        try:
            download.run()
        except LinkError:
            breaks += 1
    assert breaks == len(download.told) // 1500
    assert download.server.sent == len(download.told) + (breaks + 1) * len(download.server.files[download.index])
    assert download.left() == []


def test_one_that_is_slow_is_as_a_line_that_breaks(download: Download) -> None:
    download.server.slow, download.server.breaks = True, {download.delta: 1500}
    with pytest.raises(Refused) as caught:
        download.run()
    assert caught.value.attack is Attack.SLOW
    download.server.breaks = {}
    assert download.run().used == 1


WRONG: dict[str, Callable[[Download], None]] = {
    "altered": lambda it: it.server.files.update({it.delta: it.told[:-5] + b"wrong"}),
    "leads elsewhere": lambda it: it.server.files.update({it.delta: MAGIC + b"\0" + frame(bytes(len(NEW)))}),
    "a bomb": lambda it: it.server.files.update({it.delta: MAGIC + b"\0" + frame(bytes(20_000_000))}),
    "longer than listed": lambda it: it.server.files.update({it.delta: it.told + b"x"}),
    "not there": lambda it: it.server.files.pop(it.delta) and None,
    "an altered base": lambda it: (it.store.path(digest(OLD)).write_bytes(OLD[::-1]), None)[1],
}


@pytest.mark.parametrize("how", WRONG)
def test_a_delta_that_is_wrong_is_told_counted_and_costs_itself_once(download: Download, how: str) -> None:
    WRONG[how](download)
    download.server.breaks = {download.blob: 100_000}
    with pytest.raises(LinkError):
        download.run()
    assert len(download.said) == 1
    assert "as a whole" in download.said[0]
    assert download.left() == [f"{digest(NEW)}.part", f"{digest(NEW)}.plain"]
    while not download.store.has(digest(NEW), len(NEW)):
        try:
            assert download.run().failed == 0
        except LinkError:
            continue
    assert download.server.asked.count(download.delta) == 1
    assert download.server.sent <= len(NEW) + len(NEW) // 2 + MOST_INDEX_BYTES


@pytest.mark.parametrize(
    "index",
    [b"", b"{", b"[" * 10_000, b'{"deltas": {"..": 1}}', b'{"deltas": {"%s": 0}}' % (b"0" * 64), b" " * 20_000],
)
def test_a_list_that_is_none_is_told_and_the_whole_blob_comes(download: Download, index: bytes) -> None:
    download.server.files[download.index] = index
    assert download.run().used == 0
    assert len(download.said) == 1
    assert download.server.asked[-1] == download.blob


def test_a_server_that_gives_no_deltas_gives_blobs_all_the_same(download: Download) -> None:
    download.server.breaks = {download.delta: 0}
    assert download.run().used == 0
    assert download.server.asked == [download.index, download.delta, download.blob]
    assert len(download.said) == 1


def test_one_word_that_a_line_lost_costs_no_delta(download: Download) -> None:
    listed, asked = download.server.files[download.index], []

    class Flaky(Server):
        def stream(self, path: str, most: int, start: int = 0) -> Iterator[bytes]:
            asked.append(path)
            self.breaks = {download.index: 0} if len(asked) == 1 else {}
            return super().stream(path, most, start)

    download.server = Flaky({**download.server.files, download.index: listed})
    assert download.run().used == 1
    assert asked == [download.index, download.index, download.delta]


def test_a_delta_of_more_than_half_is_not_asked_for(download: Download) -> None:
    listed = json.dumps({"deltas": {digest(OLD): len(NEW) // 2 + 1}}).encode()
    download.server.files[download.index] = listed
    assert download.run().used == 0
    assert download.server.asked == [download.index, download.blob]


def test_what_came_of_the_blob_already_is_gone_on_with_where_less_is_left(download: Download) -> None:
    part = download.store.part(digest(NEW))
    part.parent.mkdir(exist_ok=True)
    part.write_bytes(NEW[: -len(download.told)])
    assert download.run().used == 0
    part.parent.joinpath(digest(NEW)).unlink()
    part.write_bytes(NEW[: -len(download.told) - 1])
    assert download.run().used == 1


def test_where_there_is_no_room_for_both_the_blob_alone_comes(download: Download) -> None:
    both = SPARE_BYTES + len(NEW) + len(download.told)
    for free, used in ((both - 1, 0), (both, 1)):
        download.store._free = lambda _, free=free: free
        assert download.run().used == used
        download.store.path(digest(NEW)).unlink()


def test_a_box_that_is_killed_anywhere_has_the_blob_or_goes_on(download: Download) -> None:
    number = 0
    while killed_before(number, download.run):
        path = download.store.path(digest(NEW))
        whole = path.exists()
        assert not whole or path.read_bytes() == NEW
        download.run()
        assert whole or download.left() == []  # what a kill left beside a whole blob is collected later
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink()
        number += 1
    assert number > 3


def test_a_folder_without_deltas_gives_the_blob(tmp_path: Path, download: Download) -> None:
    place = tmp_path / "stick" / download.blob
    place.parent.mkdir(parents=True)
    place.write_bytes(NEW)
    deltas = ByDelta(FolderSource(tmp_path / "stick"), download.store, download.said.append)
    assert not deltas.fetch(digest(NEW), len(NEW))
    assert download.said == []
