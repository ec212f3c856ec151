"""Put what came out of a backup in the state folder's place: all of it in one move, or nothing."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edgemill_agent.backup.archive import TOPS, Contents, read_contents, unpack
from edgemill_agent.backup.holding import no_update
from edgemill_agent.backup.sealing import Opener
from edgemill_agent.clock import Clock
from edgemill_agent.ledger.restored import begin_again, numbers_from, reserved_until
from edgemill_agent.ledger.store import lock_ledger
from edgemill_core.durable import make_folder, sync_folder, sync_tree
from edgemill_core.errors import InputError
from edgemill_link.trust.blobs import SPARE_BYTES

_UNFINISHED = "unfinished"
"""In a folder that is being filled: one without it may be what a box ran on, and is not thrown away."""
_EXCHANGE = 2
"""``RENAME_EXCHANGE`` of renameat2(2)."""
_AT_FDCWD = -100


@dataclass(frozen=True)
class Place:
    """Where a backup goes.

    Attributes:
        state: the state folder.
        device: whose backup it must be; ``None`` if that is not known.
        replace: a state folder that is there, and that no agent runs on, is put aside.
    """

    state: Path
    device: str | None = None
    replace: bool = False


@dataclass(frozen=True)
class Restored:
    """What was restored.

    Attributes:
        device: whose it is.
        made: when the backup was made, in seconds since 1970.
        numbers_from: the first number that the box gives from now on.
        bundles: whether bundles came with it.
        named: files that agent.yaml named, by where they lie now: where they were; empty if they were left out.
        aside: where the state folder went that was there before.
    """

    device: str
    made: float
    numbers_from: int
    bundles: bool
    named: dict[str, str]
    aside: Path | None


def restore(file: Path, place: Place, passphrase: str | None, first_number: int | None = None) -> Restored:
    """Put the state in ``file`` where the state folder is to be.

    Args:
        passphrase: ``None`` for a file that is said to be plain.
        first_number: to go on with; from the clock if not said (``numbers_from``).

    Raises:
        InputError: no backup, altered, of another device, the folder is not empty, or an update goes on there.
        LedgerError: an agent runs there, or the ledger is not whole.
    """
    state = place.state.resolve()
    with ExitStack() as held, _reading(file) as stream:
        opener = Opener(stream, passphrase)
        contents = read_contents(opener)
        _check(contents, place)
        held.enter_context(_nobody_uses(state, place.replace))
        new = held.enter_context(_beside(state))
        _check_room(new, sum(one.bytes for one in contents.files))
        _unpack(opener, contents, new, TOPS if place.device is None else set(TOPS) - {"settings"})
        number = _go_on(new, contents, first_number)
        _own(new, state)
        sync_tree(new)
        (new / _UNFINISHED).unlink()
        sync_folder(new)
        aside = _move(new, state)
    named = {} if place.device is not None else {str(state / path): was for path, was in contents.named.items()}
    return Restored(contents.device, contents.made, number, contents.bundles, named, aside)


def _unpack(opener: Opener, contents: Contents, new: Path, wanted: Iterable[str]) -> None:
    try:
        unpack(opener, contents, new, wanted)
    except OSError as error:
        raise InputError(
            f"the backup cannot be written to {new}",
            expected="a disk with room that can be written",
            got=str(error),
            fix="make room, or name another folder; nothing was changed",
        ) from error


def _go_on(new: Path, contents: Contents, first_number: int | None) -> int:
    clock = Clock()
    reserved = reserved_until(new)
    if first_number is None:
        first_number = numbers_from(reserved, contents.made, clock.utc_ns() / 1e9)
    elif first_number <= reserved:
        raise InputError(
            "numbers cannot go on there",
            expected=f"a number behind {reserved}, which this backup knows of",
            got=str(first_number),
            fix="name one that this box has certainly not reached",
        )
    begin_again(new, clock, first_number, {"made": contents.made})
    return first_number


def _check(contents: Contents, place: Place) -> None:
    if place.device not in (None, contents.device):
        raise InputError(
            "the backup is of another device",
            expected=f"{place.device}, as agent.yaml says",
            got=contents.device,
            fix="take the one of this device; a box that takes another's place has its id",
        )


@contextmanager
def _reading(file: Path) -> Iterator[BinaryIO]:
    try:
        stream = file.open("rb")
    except OSError as error:
        raise InputError(f"{file} cannot be read", expected="a backup", got=str(error), fix="name the file") from error
    with stream:
        yield stream


@contextmanager
def _nobody_uses(state: Path, replace: bool) -> Iterator[None]:
    """No agent and no update, until what is there was put aside."""
    if not state.exists() or (state.is_dir() and not any(state.iterdir())):
        yield
        return
    if not replace or not state.is_dir():
        raise InputError(
            f"{state} is not empty",
            expected="no such folder, or an empty one",
            got="the state of an agent" if (state / "ledger.db").exists() else "other files",
            fix="name another folder; or --replace, which puts it aside as it is",
        )
    ledger = lock_ledger(state)
    try:
        with no_update(state, 0.0):
            yield
    finally:
        os.close(ledger)


@contextmanager
def _beside(state: Path) -> Iterator[Path]:
    """A new folder on the same disk; gone at the end, unless it was moved away."""
    new = state.parent / f".{state.name}.restoring"
    lock = _locked(new)
    try:
        if any(new.iterdir()) and not (new / _UNFINISHED).exists():
            new.rename(_free_name(state))  # it was ready to be moved, or exchanged and not yet put aside
            os.close(lock)
            lock = _locked(new)
        os.close(os.open(new / _UNFINISHED, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        sync_folder(new)
        for left in new.iterdir():  # of one that was killed
            if left.name != _UNFINISHED:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        yield new
    finally:
        os.close(lock)
        if (new / _UNFINISHED).exists():
            shutil.rmtree(new, ignore_errors=True)


def _locked(new: Path) -> int:
    make_folder(new)
    lock = os.open(new, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise InputError(
            "another restore into this folder goes on",
            expected="one at a time",
            got=f"a process that holds {new}",
            fix="wait for it",
        ) from error
    return lock


def _check_room(new: Path, size: int) -> None:
    free = shutil.disk_usage(new).free
    if free < size + SPARE_BYTES:
        raise InputError(
            f"there is no room for the backup beside {new}",
            expected=f"{size + SPARE_BYTES:,} bytes",
            got=f"{free:,} free",
            fix="make room",
        )


def _own(new: Path, state: Path) -> None:
    """As open as it was; and root restores for the user whose folder it was."""
    if not state.exists():
        return
    whose = state.stat()
    os.chmod(new, whose.st_mode & 0o7777)
    if os.geteuid() != 0:
        return
    for path in (new, *new.rglob("*")):
        os.chown(path, whose.st_uid, whose.st_gid)


def _move(new: Path, state: Path) -> Path | None:
    """Put ``new`` in the place of ``state``; returns where that went, if there was anything in it."""
    try:
        if not state.exists() or not any(state.iterdir()):
            new.rename(state)
            sync_folder(state.parent)
            return None
        aside = _free_name(state)
        if _exchange(new, state):
            new.rename(aside)
        else:  # a file system that cannot: between the two there is no state folder, and an agent does not start
            state.rename(aside)
            new.rename(state)
        sync_folder(state.parent)
        return aside
    except OSError as error:
        raise InputError(
            f"{state} cannot be put in its place",
            expected="a folder that can be renamed: no mount point, and the right to write to the folder around it",
            got=str(error),
            fix="restore into a folder below it, and name that under `state:` in agent.yaml",
        ) from error


def _exchange(one: Path, other: Path) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        call = libc.renameat2
    except AttributeError:  # a C library without it
        return False
    if call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(number, os.strerror(number), str(other))


def _free_name(state: Path) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    names = (state.with_name(f"{state.name}.before-{stamp}{f'-{turn}' if turn else ''}") for turn in range(1000))
    return next(name for name in names if not name.exists())
