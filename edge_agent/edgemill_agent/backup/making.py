"""What goes into a backup, taken while the agent runs."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from edgemill_agent.backup.archive import Content, Contents, write_archive
from edgemill_agent.backup.holding import no_update
from edgemill_agent.ledger import schema
from edgemill_agent.settings import AgentSettings
from edgemill_agent.updating.book import Book, read_book
from edgemill_agent.updating.kept_file import kept_bytes
from edgemill_agent.updating.slots import bundle_folder, home, read_slots
from edgemill_core.durable import sync_folder
from edgemill_core.errors import InputError, LedgerError
from edgemill_core.migrations import check_not_newer
from edgemill_link.signatures import KEY
from edgemill_link.trust.blobs import SPARE_BYTES

_PAGES = 2048
"""Of the ledger, copied at a time."""
_PATIENCE_S = 120.0
_MOST_NAMED = 1 << 20
"""Bytes of a file that agent.yaml names; what is longer is no key and no certificate."""
_COPY = ".backup."
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Made:
    """What was written.

    Attributes:
        bytes: of the file.
        files: in it.
        bundles: whether bundles are among them.
    """

    bytes: int
    files: int
    bundles: bool


def make_backup(
    yaml: Path,
    settings: AgentSettings,
    file: Path,
    passphrase: str | None,
    bundles: bool = False,
    tell: Tell = lambda _: None,
) -> Made:
    """Write everything that makes this box this box into one file, in one move; the agent may run.

    Args:
        yaml: ``agent.yaml``.
        settings: as it says, read for ``names``.
        file: to write; replaced, if it is there.
        passphrase: ``None`` for one that anybody can read who gets hold of it.
        bundles: those of the slots too; they can be had again from where releases are, too.

    Raises:
        InputError: an update goes on, or the file cannot be written.
        LedgerError: there is no ledger, or it was written by a newer Edgemill.
    """
    state = settings.state
    with no_update(state, _PATIENCE_S), _ledger_copy(state, tell) as ledger:
        found = [*_small(state, bundles), Content("ledger.db", ledger)]
        found += list(_bundles(state)) if bundles else []
        named = dict(_named(settings))
        found += [Content("settings/agent.yaml", yaml.read_bytes())]
        found += [Content(path, Path(where).read_bytes()) for path, where in named.items()]
        contents = Contents(
            device=settings.device.id,
            made=time.time(),
            bundles=bundles,
            named=named,
            files=tuple(one.packed() for one in found),
        )
        tell(f"writing {sum(one.bytes for one in contents.files) / 1e6:.1f} MB")
        size = _write(file, passphrase, contents, found)
    return Made(size, len(found), bundles)


def _small(state: Path, bundles: bool) -> Iterator[Content]:
    """Key, trust and how far updates are. Without their bundles slots would name what is not there."""
    if (state / KEY).is_file():
        yield Content(KEY, (state / KEY).read_bytes())
    for path in sorted((state / "trust").glob("*.json")):
        yield Content(f"trust/{path.name}", path.read_bytes())
    book = read_book(state)
    if not bundles:
        book = book.model_copy(update={"updates": {}})
    if book != Book():
        yield Content("updates.json", kept_bytes(book))


def _bundles(state: Path) -> Iterator[Content]:
    for path in sorted((state / "slots").glob("*/slots.json")):
        name = path.parent.name
        slots = read_slots(state, name)
        there = [*slots.in_use, *([slots.previous] if slots.previous is not None else [])]
        folders = [bundle_folder(state, one) for one in there]
        for file in (path, *_files(home(state, name) / "manifests"), *(one for f in folders for one in _files(f))):
            yield Content(str(file.relative_to(state)), file)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _named(settings: AgentSettings) -> Iterator[tuple[str, str]]:
    """Keys, certificates, passwords and the first root, wherever they lie."""
    apart = settings.model_copy(update={"stations": ()})
    ends = [end for station in settings.stations for end in (station.trigger, *station.outputs) if end is not None]
    found = dict.fromkeys(path.resolve() for model in (apart, *ends) for path in _paths(model))
    for number, path in enumerate(path for path in found if path.is_file() and path.stat().st_size <= _MOST_NAMED):
        yield f"settings/{number}-{path.name}", str(path)


def _paths(model: BaseModel) -> Iterator[Path]:
    for _, value in model:
        if isinstance(value, Path):
            yield value
        elif isinstance(value, BaseModel):
            yield from _paths(value)


@contextmanager
def _ledger_copy(state: Path, tell: Tell) -> Iterator[Path]:
    """The ledger as it was at one moment; in the state folder, because no stick is as private as that."""
    source = state / "ledger.db"
    if not source.is_file():
        raise _nothing(state, "no ledger.db in it")
    for left in state.glob(f"{_COPY}*"):  # of one that was killed
        shutil.rmtree(left, ignore_errors=True)
    _check_room(state, source.stat().st_size)
    with tempfile.TemporaryDirectory(dir=state, prefix=_COPY) as place:
        copy = Path(place) / "ledger.db"
        try:
            _copy(source, copy, tell)
        except sqlite3.Error as error:
            raise _nothing(state, str(error)) from error
        yield copy


def _copy(source: Path, copy: Path, tell: Tell) -> None:
    reading = sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)
    writing = sqlite3.connect(copy, isolation_level=None)
    try:
        check_not_newer(reading, schema.MIGRATIONS, schema.WHAT)
        reading.execute("BEGIN")  # one moment, whatever is written meanwhile; else it would begin anew each time
        reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
        reading.backup(
            writing, pages=_PAGES, progress=lambda _, left, all_: tell(f"ledger: {all_ - left} of {all_} pages")
        )
    finally:
        reading.close()
        writing.close()


def _check_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size + SPARE_BYTES:
        raise InputError(
            f"there is no room for a copy of the ledger in {folder}",
            expected=f"{size + SPARE_BYTES:,} bytes, {SPARE_BYTES >> 20} MiB of them left to the ledger",
            got=f"{free:,} free",
            fix="make room",
        )


def _write(file: Path, passphrase: str | None, contents: Contents, parts: list[Content]) -> int:
    name = None
    try:
        for left in file.parent.glob(f".{file.name}.*.new"):  # of one that was killed
            left.unlink(missing_ok=True)
        handle, name = tempfile.mkstemp(
            dir=file.parent, prefix=f".{file.name}.", suffix=".new"
        )  # read by its owner only
        with os.fdopen(handle, "wb") as out:
            write_archive(out, passphrase, contents, parts)
            out.flush()
            os.fsync(out.fileno())
            size = out.tell()
        os.replace(name, file)
        sync_folder(file.parent)
        return size
    except OSError as error:
        raise InputError(
            f"the backup cannot be written to {file}",
            expected="a file in a folder that this user may write to, with room",
            got=str(error),
            fix="name another file",
        ) from error
    finally:
        if name is not None:
            with suppress(FileNotFoundError):
                Path(name).unlink()


def _nothing(state: Path, got: str) -> LedgerError:
    return LedgerError(
        f"there is nothing to back up in {state}",
        expected="the state folder of an agent that was started once",
        got=got,
        fix="name the agent.yaml of this box's agent, as the user who runs it",
    )
