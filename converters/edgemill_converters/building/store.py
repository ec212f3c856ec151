"""The cache: results of steps by content key, each written whole in one move, and checked when it is read.

::

    entries/<key>/      what a step wrote, and entry.json: the digest of each file
    notes/<key>/        what a step that takes long keeps for itself, until it is done
    logs/<build>/       what each step's process printed, of its latest run
    work/               of builds that are going; swept when they are gone
    journal.jsonl       what was made, read back and thrown away, and how long it took
    digests.json        of files that builds read (``files.py``)
    verified.json       likewise of the files of entries

Builds share a cache: a key is made by one while others wait for it, and nothing is removed while another build uses
the cache. Locks are the kernel's (flock(2)): they go with the process that holds them, however it ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgemill_converters.building.disk import writing
from edgemill_converters.building.files import FileDigests
from edgemill_converters.building.plain import digest_of
from edgemill_converters.building.scratch import scratch_in
from edgemill_converters.building.step import Tell
from edgemill_core.durable import sha256_file, sync_folder, sync_tree
from edgemill_core.errors import CacheError

MOST_BYTES = 5_000_000_000
JOURNAL_LINES = 5_000
_POLL_S = 0.05


@dataclass(frozen=True)
class Entry:
    """The result of a step.

    Attributes:
        folder: where its files lie; never write there.
        files: SHA-256 of each, by name relative to ``folder``.
        seconds: how long it took to make, when it was made.
        made: by this build.
    """

    folder: Path
    files: Mapping[str, str]
    seconds: float
    made: bool

    def path(self, name: str) -> Path:
        """The file called ``name``."""
        return self.folder / name


class Store:
    """A cache in use by one build. A context manager.

    Attributes:
        folder: where it lies.
        work: an empty folder for this build, gone at its end.

    Args:
        folder: made if it is not there.
        fresh: believe no entry or note that this build has not made; nobody else may use the cache meanwhile.
        tell: hears if another build must be waited for.

    Raises:
        CacheError: the folder cannot be written, or ``fresh`` while another build uses it.
    """

    def __init__(self, folder: Path, fresh: bool = False, tell: Tell = lambda _: None) -> None:
        self.folder = folder
        self._fresh = fresh
        self._used: set[str] = set()
        self._verified = FileDigests(folder / "verified.json", forget=fresh)
        with writing(folder):
            for name in ("entries", "notes", "logs", "work", "locks"):
                (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / ".gitignore").write_text("*\n")
            self._in_use = _open_lock(folder / "in-use")
            try:
                self._take(tell)
            except BaseException:
                os.close(self._in_use)
                raise
            self._scratch = scratch_in(folder / "work", "build.")
            self.work = self._scratch.__enter__()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self.trim()
            self._verified.save(self.work)
        self._scratch.__exit__(None, None, None)
        os.close(self._in_use)

    def find(self, key: str) -> Entry | None:
        """The entry of ``key``, its files verified; one that is damaged is thrown away.

        A file that was read for that before is believed while the kernel says that nobody wrote it (``FileDigests``).
        """
        folder = self.folder / "entries" / key
        if (self._fresh and key not in self._used) or not folder.is_dir():
            return None
        told = _read_entry(folder)
        if told is None or any(not self._is(folder / name, digest) for name, digest in told["files"].items()):
            self._bury(folder)
            self.note("thrown away", key, damaged=True)
            return None
        with suppress(OSError):
            os.utime(folder / "entry.json")
        self._used.add(key)
        return Entry(folder, told["files"], float(told["seconds"]), made=False)

    def put(self, key: str, made: Path, step: str, seconds: float) -> Entry:
        """Move the files in ``made`` into the cache, in one move, once they are on the disk.

        Raises:
            CacheError: they cannot be written.
        """
        target = self.folder / "entries" / key
        paths = sorted(path for path in made.rglob("*") if path.is_file())
        files = {path.relative_to(made).as_posix(): sha256_file(path) for path in paths}
        seconds = round(seconds, 3)
        told = {"files": files, "seconds": seconds, "step": step}
        with writing(self.folder):
            (made / "entry.json").write_text(json.dumps({**told, "seal": digest_of(told)}))
            sync_tree(made)
            if target.exists():
                self._bury(target)
            os.replace(made, target)
            sync_folder(target.parent)
        self._used.add(key)
        shutil.rmtree(self.folder / "notes" / key, ignore_errors=True)
        return Entry(target, files, seconds, made=True)

    def notes(self, key: str) -> Path:
        """A folder for ``key`` that outlives a kill, and is gone once its entry is there."""
        folder = self.folder / "notes" / key
        if self._fresh:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)
        return folder

    def note(self, did: str, key: str, **more: object) -> None:
        """Add a line to the journal."""
        line = json.dumps({"at": round(time.time(), 3), "build": self.work.name, "did": did, "key": key, **more})
        with suppress(OSError), (self.folder / "journal.jsonl").open("ab") as file:
            file.write(line.encode() + b"\n")

    def journal(self) -> list[dict[str, object]]:
        """Its lines, oldest first; one that a power cut left half written is left out."""
        found = []
        with suppress(FileNotFoundError):
            for line in (self.folder / "journal.jsonl").read_bytes().splitlines():
                with suppress(ValueError):
                    found.append(json.loads(line))
        return found

    @contextmanager
    def lock(self, name: str, stopped: Callable[[], bool], tell: Tell, shared: bool = False) -> Iterator[None]:
        """Hold the lock ``name`` against other builds and other threads of this one; ends early if ``stopped``."""
        descriptor = _open_lock(self.folder / "locks" / name)
        try:
            self._wait_for(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, tell, stopped)
            yield
        finally:
            os.close(descriptor)

    def trim(self, most: int = MOST_BYTES) -> None:
        """Remove the entries that were not used for the longest time until ``most`` bytes are left.

        Those of this build stay, whatever their size. Nothing is removed while another build uses the cache.
        """
        if not _try_lock(self._in_use, fcntl.LOCK_EX):
            return
        try:
            self._trim(most)
        finally:
            fcntl.flock(self._in_use, fcntl.LOCK_EX if self._fresh else fcntl.LOCK_SH)

    def _trim(self, most: int) -> None:
        entries = [path for path in (self.folder / "entries").iterdir() if path.is_dir()]
        sizes = {path: sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) for path in entries}
        spare = sum(sizes.values()) - most
        for path in sorted(entries, key=_used_at):
            if spare > 0 and path.name not in self._used:
                self._bury(path)
                self.note("thrown away", path.name, damaged=False)
                spare -= sizes[path]
        for lock in (self.folder / "locks").iterdir():
            lock.unlink()
        self._shorten_journal()

    def _shorten_journal(self) -> None:
        path = self.folder / "journal.jsonl"
        lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
        if len(lines) > JOURNAL_LINES:
            path.write_bytes(b"".join(lines[-JOURNAL_LINES // 2 :]))

    def _wait_for(self, descriptor: int, kind: int, tell: Tell, stopped: Callable[[], bool]) -> None:
        if _try_lock(descriptor, kind):
            return
        tell(f"waiting for another build that uses {self.folder}")
        while not stopped() and not _try_lock(descriptor, kind):
            time.sleep(_POLL_S)

    def _take(self, tell: Tell) -> None:
        if not self._fresh:
            self._wait_for(self._in_use, fcntl.LOCK_SH, tell, lambda: False)
        elif not _try_lock(self._in_use, fcntl.LOCK_EX):
            raise CacheError(
                f"another build uses the cache {self.folder}",
                expected="nobody else, where everything is to be made anew",
                got="a build that is going",
                fix="wait for it, or name another folder with --cache",
            )

    def _is(self, path: Path, digest: str) -> bool:
        try:
            return self._verified.of(path) == digest
        except OSError:
            return False

    def _bury(self, folder: Path) -> None:
        # Out of sight in one move: an entry is there or not, and never half there.
        grave = Path(tempfile.mkdtemp(dir=self.work))
        with suppress(FileNotFoundError):
            os.replace(folder, grave / "entry")
        shutil.rmtree(grave, ignore_errors=True)


def _read_entry(folder: Path) -> dict[str, Any] | None:
    try:
        told: dict[str, Any] = json.loads((folder / "entry.json").read_text(encoding="utf-8"))
        seal = told.pop("seal")
        return told if seal == digest_of(told) else None
    except (OSError, ValueError, KeyError, AttributeError):
        return None


def _used_at(folder: Path) -> float:
    try:
        return (folder / "entry.json").stat().st_mtime
    except OSError:
        return 0.0


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
