"""Digests of files that are asked for again and again: pictures and models."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from edgemill_core.durable import sha256_file, write_bytes
from edgemill_core.errors import DataError

_SETTLED_NS = 2_000_000_000
"""File systems stamp times as coarsely as this (FAT: two seconds)."""


class FileDigests:
    """SHA-256 by path, kept in a file from one build to the next.

    A digest is believed while path, size, inode, and the times of the last change of content *and* of inode are those
    of the file that was read. It trusts that whoever changes a file moves one of these: any write does, and setting the
    old time again does not help, because that moves the inode's. Files that were changed less than two seconds before
    they were read are not remembered, since a second change might carry the same time. A disk that is written without
    the kernel's knowledge, or a clock set back, is not seen; ``edgemill build --fresh`` reads every file.
    """

    def __init__(self, file: Path, forget: bool = False) -> None:
        self._file = file
        self._known: dict[str, list[object]] = {} if forget else _read(file)
        self._asked: dict[str, list[object]] = {}
        self._young: set[str] = set()

    def of(self, path: Path) -> str:
        """The digest of ``path``.

        Raises:
            OSError: it cannot be read.
        """
        name = str(path.absolute())
        if name in self._asked:
            return str(self._asked[name][0])
        begun, stamp = time.time_ns(), _stamp(path)
        known = self._known.get(name)
        if known is None or known[1:] != stamp:
            known = [sha256_file(path), *stamp]
            if max(stamp[2:]) >= begun - _SETTLED_NS:
                self._young.add(name)
        self._asked[name] = known
        return str(known[0])

    def of_all(self, paths: Sequence[Path]) -> list[str]:
        """The digests of several."""
        return [self.of(path) for path in paths]

    def check_unchanged(self) -> None:
        """See that every file whose digest was given out is still the one that was read. Any thread may call.

        Raises:
            DataError: one is not, or is gone; what was made meanwhile may come from either content.
        """
        for name, row in list(self._asked.items()):
            try:
                got = "" if _stamp(Path(name)) == row[1:] else "another size, time or inode"
            except OSError as error:
                got = str(error)
            if got:
                raise DataError(
                    f"{name} changed during the build",
                    expected="the file that was there when the build began",
                    got=got,
                    fix="run again when nobody writes it; what was done before it changed is kept",
                )

    def save(self, work: Path) -> None:
        """Keep what was asked for, and of the rest what is still there; written in ``work``, and moved.

        Raises:
            OSError: it cannot be written.
        """
        settled = {name: row for name, row in self._asked.items() if name not in self._young}
        others = {n: row for n, row in self._known.items() if n not in self._asked and Path(n).exists()}
        if {**others, **settled} != self._known:
            write_bytes(work / self._file.name, json.dumps({**others, **settled}).encode())
            os.replace(work / self._file.name, self._file)


def _stamp(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns]


def _read(file: Path) -> dict[str, list[object]]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    rows = found.items() if isinstance(found, dict) else ()
    return {name: row for name, row in rows if isinstance(row, list) and len(row) == 5}
