"""What a disk may hold after the power went: everything that was synced, and any part of what was not.

``Tape`` records what is done below a folder, and ``cuts`` plays through what a power cut may leave of it. The model is
that of POSIX.1-2017, which is harder than any file system of Linux:

- the bytes of a file are safe once *it* was fsynced, a name once the *folder* that it is in was;
- before that each name may be there or not, and each file may have its new bytes, those that were synced last, a part
  of the new ones, or zeros, all independent of one another;
- a move or a link happens as a whole, or not at all.

Nothing has to be declared: ``os`` is watched, and before every call by which a folder changes the folder itself is
looked at. Files that came into being and bytes that changed since are taken from what is seen there, however they got
there. A name that went, or a folder that came, by no call that was seen is an error: so nothing escapes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

Name = tuple[int, str]
"""A folder's number, and a name in it."""
Tree = Mapping[str, int | None]
"""Path of each file to its number, and of each folder to ``None``."""


class Killed(BaseException):
    """The process is no more."""


@dataclass(frozen=True)
class Named:
    """Names that changed in one go; ``None`` where one went."""

    names: tuple[tuple[Name, int | None], ...]
    what: str


@dataclass(frozen=True)
class Wrote:
    """A file had these bytes from then on."""

    file: int
    content: bytes
    what: str


@dataclass(frozen=True)
class Synced:
    """A file or a folder is safe as it was then."""

    thing: int
    what: str


Step = Named | Wrote | Synced


@dataclass(frozen=True)
class Left:
    """What a power cut left.

    Attributes:
        step: that was the last one to be done; 0 for none.
        why: what was lost.
        tree: what lies where.
        contents: bytes of each file of ``tree``.
    """

    step: int
    why: str
    tree: Tree
    contents: Mapping[int, bytes]

    def lay_out(self, folder: Path) -> None:
        """Write it into a folder, which is made; files of one number are one file of several names."""
        folder.mkdir(parents=True)
        first: dict[int, Path] = {}
        for path, number in self.tree.items():
            place = folder / path
            if number is None:
                place.mkdir()
            elif number in first:
                os.link(first[number], place)
            else:
                place.write_bytes(self.contents[number])
                first[number] = place

    @property
    def key(self) -> frozenset[tuple[str, int | None, bytes]]:
        """Equal where two cuts left the same."""
        return frozenset(
            (path, number, b"" if number is None else self.contents[number]) for path, number in self.tree.items()
        )


_ROOT = 0
WATCHED = ("mkdir", "open", "write", "pwrite", "truncate", "ftruncate", "fsync", "fdatasync")
MOVING = ("replace", "rename", "link", "unlink", "remove", "rmdir", "symlink")


@dataclass
class Tape:
    """What was done below a folder; what lay there before counts as safe.

    Args:
        folder: need not be there yet; its own name is safe.
        passing_over: names that are not looked at: what SQLite keeps beside its file.

    Attributes:
        steps: what was done, in its order.
        calls: of ``os``, by which it was done or which were done about it.
    """

    folder: Path
    passing_over: Callable[[str], bool] = lambda name: name.endswith(("-wal", "-shm"))
    steps: list[Step] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._numbers = count(1)
        self._inodes: dict[int, int] = {}
        self._names: dict[Name, int] = {}
        self._folders = {_ROOT}
        self._contents: dict[int, bytes] = {}
        self._look(begin=True)
        self.steps.clear()
        self._first = (dict(self._names), dict(self._contents))

    # --- recording ---

    @contextmanager
    def recording(
        self, meanwhile: Callable[[int], object] = lambda _: None, dies_at: int | None = None
    ) -> Iterator[None]:
        """Record what is done within; may be used several times, as by processes that were killed and started again.

        Args:
            meanwhile: called behind each call that was seen, with the number of steps so far.
            dies_at: the process is killed before its call of this number, from 0: that and every later one raises
                ``Killed``.
        """
        self._meanwhile, self._left_to_live = meanwhile, -1 if dies_at is None else dies_at
        before = {name: getattr(os, name) for name in (*WATCHED, *MOVING)}
        try:
            for name, real in before.items():
                setattr(os, name, self._watched(name, real))
            yield
        finally:
            for name, real in before.items():
                setattr(os, name, real)
            self._look()

    def _watched(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            if name == "open" and not given[1] & (os.O_CREAT | os.O_TRUNC):
                return real(*given, **named)
            self._look()
            if self._left_to_live == 0:
                raise Killed
            self._left_to_live -= 1
            self.calls.append(name)
            changes = self._changes(name, given, named)
            found = real(*given, **named)
            for names in changes:
                self._do(Named(names, f"{name} {self._told(given)}"))
            if name == "mkdir" and changes:
                self._inodes[os.stat(*given[:1], dir_fd=named.get("dir_fd")).st_ino] = max(self._folders)
            if name in ("fsync", "fdatasync"):
                self._note_sync(given[0])
            self._meanwhile(len(self.steps))
            return found

        return call

    def _told(self, given: tuple[Any, ...]) -> str:
        return " → ".join(os.path.basename(os.fspath(one)) for one in given if isinstance(one, str | os.PathLike))

    def _changes(
        self, name: str, given: tuple[Any, ...], named: Mapping[str, Any]
    ) -> list[tuple[tuple[Name, int | None], ...]]:
        """Which names will be others once the call is done."""
        if name not in (*MOVING, "mkdir"):
            return []
        one = self._place(given[0], named.get("dir_fd", named.get("src_dir_fd")))
        two = self._place(given[1], named.get("dst_dir_fd")) if name in ("replace", "rename", "link") else None
        places = [place for place in (one, two) if place is not None]
        if not places or any(self.passing_over(place[1]) for place in places):
            return []
        if name == "mkdir" and one is not None and one not in self._names:
            number = next(self._numbers)
            self._folders.add(number)
            return [((one, number),)]
        if name in ("unlink", "remove", "rmdir") and one in self._names:
            return [((one, None),)]
        if two is not None and one in self._names and (name != "link" or two not in self._names):
            gone: tuple[tuple[Name, int | None], ...] = () if name == "link" else ((one, None),)
            return [((two, self._names[one]), *gone)]
        assert name not in ("symlink",), f"{name} of {given}: not in the model"
        assert two is None or one is not None, f"{given} comes from elsewhere"
        return []  # it will fail

    def _place(self, path: Any, inside: int | None) -> Name | None:
        """The folder's number and the name in it, unless it is elsewhere."""
        full = Path(os.path.abspath(os.path.join(os.readlink(f"/proc/self/fd/{inside}") if inside else "", path)))
        if self.folder not in full.parents:
            return None
        return self._inodes.get(os.stat(full.parent).st_ino, -1), full.name

    def _note_sync(self, handle: int) -> None:
        inode = os.fstat(handle).st_ino
        if (thing := self._inodes.get(inode)) is not None:
            path = os.readlink(f"/proc/self/fd/{handle}")
            self.steps.append(Synced(thing, f"fsync {os.path.basename(path)}"))

    def _do(self, step: Named) -> None:
        self.steps.append(step)
        for name, thing in step.names:
            if thing is None:
                del self._names[name]
            else:
                self._names[name] = thing

    # --- looking ---

    def _look(self, begin: bool = False) -> None:
        """See what came into being or was written, and that nothing else happened but what was recorded."""
        seen: dict[Name, int] = {}
        if self.folder.is_dir():
            self._inodes = {self.folder.stat().st_ino: _ROOT} | self._live_inodes()
            self._look_into(self.folder, _ROOT, seen, begin)
        assert seen == self._names, (
            f"changed by a call that was not seen: {set(seen.items()) ^ set(self._names.items())}"
        )

    def _live_inodes(self) -> dict[int, int]:
        """Without those of files that are gone: the system gives their numbers away again."""
        live = {*self._names.values()}
        return {inode: thing for inode, thing in self._inodes.items() if thing in live}

    def _look_into(self, folder: Path, number: int, seen: dict[Name, int], begin: bool) -> None:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            if self.passing_over(entry.name):
                continue
            name, inode = (number, entry.name), entry.inode()
            thing = self._inodes.get(inode)
            if thing is None:
                assert begin or entry.is_file(follow_symlinks=False), f"{entry.path} was made by no call that was seen"
                thing = self._inodes[inode] = next(self._numbers)
                self._do(Named(((name, thing),), f"create {entry.name}"))
                if entry.is_file():
                    self._contents[thing] = b""
                else:
                    self._folders.add(thing)
            elif begin and name not in self._names:
                self._do(Named(((name, thing),), f"link {entry.name}"))
            seen[name] = thing
            if thing in self._folders:
                self._look_into(folder / entry.name, thing, seen, begin)
            else:
                self._read(entry, thing)

    def _read(self, entry: os.DirEntry[str], thing: int) -> None:
        with open(entry.path, "rb") as file:
            content = file.read()
        if content != self._contents[thing]:
            self._contents[thing] = content
            self.steps.append(Wrote(thing, content, f"write {entry.name}"))

    # --- cutting ---

    def cuts(self, first: int = 0, every: int = 1) -> Iterator[Left]:
        """What may be left, of a cut behind each step, or behind each ``every``-th from ``first`` on."""
        for done in range(first, len(self.steps) + 1, every):
            yield from self.cut_after(done)

    def cut_after(self, done: int) -> Iterator[Left]:
        """What a power cut behind this many steps may leave; the same may come several times."""
        names, files = self._unsafe(done)
        every, none = frozenset(names), frozenset[int]()
        yield self._left(done, "nothing", none, {})
        yield self._left(done, "all that was not synced", every, dict.fromkeys(files, _synced))
        for how in _WAYS:
            for lost, what in ((none, "no name"), (every, "every name")):
                yield self._left(done, f"{what}; files {how.__name__[1:]}", lost, dict.fromkeys(files, how))
        for one in names:
            what = self.steps[one].what
            yield self._left(done, f"only: {what}", frozenset({one}), {})
            for how in (_kept, *_WAYS):
                spoilt = dict.fromkeys(files, how)
                yield self._left(done, f"every name but: {what}; files {how.__name__[1:]}", every - {one}, spoilt)
        for file in files:
            for how in _WAYS:
                yield self._left(done, f"of file {file}: {how.__name__[1:]}", none, {file: how})
                others = {other: how for other in files if other != file}
                yield self._left(done, f"but of file {file}: {how.__name__[1:]}", none, others)

    def last(self) -> Left:
        """Everything that was done, and nothing lost."""
        return self._left(len(self.steps), "nothing", frozenset(), {})

    def _unsafe(self, done: int) -> tuple[list[int], list[int]]:
        """Steps that changed names, and files, that a cut may take back."""
        names: list[int] = []
        files: set[int] = set()
        for index, step in enumerate(self.steps[:done]):
            if isinstance(step, Named):
                names.append(index)
            elif isinstance(step, Wrote):
                files.add(step.file)
            else:
                files.discard(step.thing)
                names = [one for one in names if self._folder_of(one) != step.thing]
        return names, sorted(files)

    def _folder_of(self, step: int) -> int:
        found = self.steps[step]
        assert isinstance(found, Named)
        return found.names[0][0][0]

    def _left(self, done: int, why: str, lost: frozenset[int], spoilt: Mapping[int, Way]) -> Left:
        names, contents = dict(self._first[0]), dict(self._first[1])
        safe = dict(contents)
        for index, step in enumerate(self.steps[:done]):
            if isinstance(step, Wrote):
                contents[step.file] = step.content
            elif isinstance(step, Synced):
                safe[step.thing] = contents.get(step.thing, b"")
            elif index not in lost:
                for name, thing in step.names:
                    names.pop(name, None)
                    if thing is not None:
                        names[name] = thing
        contents |= {file: how(safe.get(file, b""), contents[file]) for file, how in spoilt.items()}
        inside: dict[int, list[tuple[str, int]]] = {}
        for (folder, name), thing in names.items():
            inside.setdefault(folder, []).append((name, thing))
        tree = dict(self._walk(inside, _ROOT, ""))
        return Left(done, why, tree, {thing: contents.get(thing, b"") for thing in tree.values() if thing is not None})

    def _walk(
        self, inside: Mapping[int, Sequence[tuple[str, int]]], folder: int, before: str
    ) -> Iterator[tuple[str, int | None]]:
        for name, thing in inside.get(folder, ()):
            if thing in self._folders:
                yield before + name, None
                yield from self._walk(inside, thing, f"{before}{name}/")
            else:
                yield before + name, thing


Way = Callable[[bytes, bytes], bytes]
"""What is left of a file, of its bytes that were synced last and its bytes of now."""


def _kept(_: bytes, now: bytes) -> bytes:
    return now


def _synced(safe: bytes, _: bytes) -> bytes:
    return safe


def _cut_short(safe: bytes, now: bytes) -> bytes:
    if now.startswith(safe):
        return now[: len(safe) + (len(now) - len(safe)) // 2]
    return now[: len(now) // 2]


def _zeroed(safe: bytes, now: bytes) -> bytes:
    """The size is of now; what was not synced is zeros."""
    begin = len(safe) if now.startswith(safe) else 0
    return now[:begin] + bytes(len(now) - begin)


_WAYS: tuple[Way, ...] = (_synced, _cut_short, _zeroed)
