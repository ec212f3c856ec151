"""How a blob follows from another one, in few bytes where the two are much alike; and the blob again, from both.

The new blob is cut into chunks of 8 MiB, of which each is one Zstandard frame behind a byte that says what it is::

    EMDELTA1  (kind  frame)…

    kind 0    the chunk, compressed with that stretch of the base as its prefix that may be like it: bytes that moved
    kind 1    the chunk minus the bytes of the base at the same place, modulo 256: numbers that changed a little

So weights of the same layout that were trained on are told by small differences, which no search for equal bytes
would find, and memory does not grow with the blob: a box needs the stretch twice, a chunk, and some buffers, 45 MiB.

Nobody signs a delta, and whoever made it may lie: what comes out is bounded here, and compared with the digest that
was signed for by whoever asks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from edgemill_link.trust.refusal import Attack, Refused

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAGIC = b"EMDELTA1"
CHUNK, REACH = 8 << 20, 4 << 20
"""Bytes of a chunk, and how far before and behind its place in the base it is looked for."""
_PREFIX, _DIFFERENCE = b"\0", b"\1"
_PIECE = 1 << 20
_WINDOW_LOG = CHUNK.bit_length() - 1
"""No frame may ask for a larger window than a chunk has: it would cost memory."""


def delta_of(new: Path, base: Path) -> Iterator[bytes]:
    """The delta that leads from ``base`` to ``new``, in pieces; as long as ``new`` at worst, and a little."""
    yield MAGIC
    with new.open("rb") as file:
        at = 0
        while chunk := file.read(CHUNK):
            yield _shortest(chunk, _stretch(base, at), _same_place(base, at, len(chunk)))
            at += len(chunk)


def blob_from(delta: Iterable[bytes], base: Path, length: int) -> Iterator[bytes]:
    """The blob, in pieces, of ``length`` bytes together: no more come, whatever the delta says.

    Args:
        delta: in pieces.
        base: the blob that it was made from; another one leads to other bytes.

    Raises:
        Refused: it is no delta, or one of a blob of another length.
    """
    reader = _Reader(delta)
    if reader.take(len(MAGIC)) != MAGIC:
        raise _wrong("another beginning")
    for at in range(0, length, CHUNK):
        size, kind = min(CHUNK, length - at), reader.take(1)
        if kind == _PREFIX:
            yield from reader.frame(size, _stretch(base, at))
        elif kind == _DIFFERENCE:
            before = _same_place(base, at, size)
            done = 0
            for piece in reader.frame(size, b""):
                yield _plus(piece, before[done : done + len(piece)])
                done += len(piece)
        else:
            raise _wrong("a chunk of an unknown kind")
    if reader.more():
        raise _wrong("more behind its end")


class _Reader:
    """What comes of a delta: some bytes as they are, and frames."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    def take(self, count: int) -> bytes:
        while len(self._rest) < count and (piece := next(self._pieces, b"")):
            self._rest += piece
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken

    def more(self) -> bool:
        return bool(self._rest) or any(self._pieces)

    def frame(self, size: int, prefix: bytes) -> Iterator[bytes]:
        """One frame that holds ``size`` bytes, no more and no fewer."""
        options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
        decoder = zstd.ZstdDecompressor(zstd_dict=_as_prefix(prefix), options=options)
        left = size
        while not decoder.eof:
            given = self._next() if decoder.needs_input else b""
            try:
                piece = decoder.decompress(given, min(_PIECE, left + 1))
            except (zstd.ZstdError, EOFError, ValueError) as error:
                raise _wrong(str(error)[:200]) from error
            left -= len(piece)
            if left < 0:
                raise _wrong("a chunk that is too long")
            if not (piece or decoder.eof or decoder.needs_input):
                raise _wrong("a frame that does not go on")
            if piece:
                yield piece
        if left:
            raise _wrong("a chunk that is too short")
        self._rest = decoder.unused_data

    def _next(self) -> bytes:
        given, self._rest = self._rest or next(self._pieces, b""), b""
        if not given:
            raise _wrong("it breaks off")
        return given


def _shortest(chunk: bytes, stretch: bytes, before: bytes) -> bytes:
    told = zstd.CompressionParameter
    options: dict[int, int] = {told.compression_level: 9, told.window_log: _WINDOW_LOG + 2}
    moved = _PREFIX + _frame(chunk, stretch, {**options, told.enable_long_distance_matching: 1})
    if len(moved) < len(chunk) // 100:
        return moved
    difference = np.subtract(np.frombuffer(chunk, np.uint8), np.frombuffer(before, np.uint8)).tobytes()
    found = [moved]
    for level, strategy in ((1, zstd.Strategy.dfast), (19, zstd.Strategy.btultra2)):
        options = {told.compression_level: level, told.strategy: strategy, told.window_log: _WINDOW_LOG}
        found.append(_DIFFERENCE + _frame(difference, b"", options))
        if len(found[-1]) > len(moved):  # the slow one would not be shorter either
            break
    return min(found, key=len)


def _frame(content: bytes, prefix: bytes, options: dict[int, int]) -> bytes:
    maker = zstd.ZstdCompressor(options=options, zstd_dict=_as_prefix(prefix))
    maker.set_pledged_input_size(len(content))  # so that a box gives it no larger a window
    return bytes(maker.compress(content, maker.FLUSH_FRAME))


def _as_prefix(prefix: bytes) -> tuple[zstd.ZstdDict, int] | None:
    return zstd.ZstdDict(prefix, is_raw=True).as_prefix if len(prefix) >= 8 else None  # fewer are none to Zstandard


def _stretch(base: Path, at: int) -> bytes:
    """Of the base, what a chunk at this place may be like."""
    first = max(at - REACH, 0)
    with base.open("rb") as file:
        file.seek(first)
        return file.read(at + CHUNK + REACH - first)


def _same_place(base: Path, at: int, size: int) -> bytes:
    with base.open("rb") as file:
        file.seek(at)
        return file.read(size).ljust(size, b"\0")


def _plus(piece: bytes, before: bytes) -> bytes:
    return np.add(np.frombuffer(piece, np.uint8), np.frombuffer(before, np.uint8)).tobytes()


def _wrong(got: str) -> Refused:
    return Refused(
        Attack.ALTERED,
        "a delta does not lead to the blob",
        expected="one that `edgemill release publish` made",
        got=got,
        fix="nothing: the whole blob is fetched in its place; publish again to have another delta",
    )
