"""A bundle in one file: an uncompressed tar of which every byte follows from the manifest.

::

    manifest.json   first, so that a reader knows what comes before it comes
    manifest.sha256
    every file that the manifest lists, records too, by name
    two empty blocks

Owners, times and modes are always the same, so equal bundles give equal files, and `tar` reads them. Our own reader
believes no header: it makes the one that must stand there, and takes no other. So there are no links, devices, upward
or doubled names to be looked for, nothing can be larger than the manifest says, and nothing is written before the file
is known to have the length that follows from it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from edgemill_core.bundle.manifest import FileEntry, Manifest, parse_manifest
from edgemill_core.bundle.requirements import check_agent
from edgemill_core.bundle.store import MANIFEST, SEAL, Bundle, open_bundle, this_edgemill
from edgemill_core.durable import sha256_bytes, sync_folder, sync_tree
from edgemill_core.errors import BundleError, InputError

SUFFIX = ".edgemill"
_BLOCK = tarfile.BLOCKSIZE
_END = bytes(2 * _BLOCK)
_PIECE = 1 << 20
MOST_MANIFEST = 16 << 20
"""A manifest is read into memory; one of a thousand golden samples has less than 1 MB."""


def export_bundle(bundle: Bundle, file: Path) -> None:
    """Write ``bundle`` into one file, in one move once it is on the disk. The bundle is read, and verified, as it goes.

    Raises:
        BundleError: a file of the bundle is not as its manifest says.
        InputError: ``file`` cannot be written, or lies in the bundle itself.
    """
    if bundle.folder.resolve() in file.resolve().parents:
        raise InputError(
            "a bundle cannot be exported into its own folder: what does not belong to it would be found there",
            expected="a file outside of the bundle's folder",
            got=str(file),
            fix="name another file",
        )
    manifest, seal = (bundle.folder / name for name in (MANIFEST, SEAL))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as out:
            try:
                for name, path in ((MANIFEST, manifest), (SEAL, seal)):
                    out.write(_member(name, path.read_bytes()))
                for name, entry in _listed(bundle.manifest):
                    out.write(_header(name, entry.bytes))
                    with (bundle.folder / name).open("rb") as source:
                        _copy(source, out, name, entry)
                    out.write(_padding(entry.bytes))
                out.write(_END)
                out.flush()
                os.fsync(out.fileno())
                os.chmod(out.name, 0o644)
                os.replace(out.name, file)
            except BaseException:
                Path(out.name).unlink(missing_ok=True)
                raise
        sync_folder(file.parent)
    except OSError as error:
        raise InputError(
            f"the bundle cannot be written to {file}",
            expected="a file in a folder that may be written to, on a disk with room",
            got=str(error),
            fix="name another file, or make room",
        ) from error


def read_manifest(file: Path) -> Manifest:
    """What a one-file bundle says of itself, with the seal and the file's length looked at, and no more.

    Raises:
        BundleError: it is no such file, or cut off.
    """
    with _opened(file) as source:
        return _head(file, source)[0]


def import_bundle(file: Path, folder: Path) -> Bundle:
    """Unpack a one-file bundle into ``folder/<name>-<version>``, in one move once all of it is verified.

    A bundle of the same content that lies there already is left as it is.

    Raises:
        BundleError: the file is damaged, cut off or no bundle, or another bundle of that name and version lies there.
        InputError: ``folder`` cannot be written, or lacks room.
    """
    manifest = read_manifest(file)
    target = folder / _own_folder(manifest)
    if target.exists():
        return _already(file, manifest, target)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(dir=folder, prefix=f".{target.name}.new."))
        try:
            if unpack(file, place / "bundle").manifest != manifest:
                raise _damaged(f"{file} changed while it was read", "the same from first to last", "another bundle")
            sync_tree(place / "bundle")
            os.replace(place / "bundle", target)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        sync_folder(folder)
    except OSError as error:
        raise _no_room(folder, str(error)) from error
    return Bundle(target, manifest)


def unpack(file: Path, place: Path) -> Bundle:
    """Unpack into ``place``, which is not there yet, and verify every byte on the way.

    Raises:
        BundleError: the file is damaged, cut off or no bundle; what was written is removed.
        InputError: there is no room.
    """
    with _opened(file) as source:
        manifest, head = _head(file, source)
        needed = sum(entry.bytes for _, entry in _listed(manifest)) + sum(map(len, head.values()))
        free = shutil.disk_usage(place.parent).free
        if free < needed:
            raise _no_room(place.parent, f"{needed:,} bytes needed, {free:,} free")
        place.mkdir()
        try:
            for name, content in head.items():
                (place / name).write_bytes(content)
            _files(file, source, manifest, place)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
    return Bundle(place, manifest)


def is_one_file(path: Path) -> bool:
    """Whether ``path`` is meant to be a bundle in one file."""
    return path.suffix == SUFFIX and not path.is_dir()


@contextmanager
def opened_bundle(path: Path | str) -> Iterator[Bundle]:
    """A bundle's folder, or a bundle in one file, which is unpacked into a temporary folder for as long.

    Raises:
        BundleError: anything at all is not as the manifest says.
        InputError: there is no room to unpack it.
    """
    if not is_one_file(Path(path)):
        yield open_bundle(path)
        return
    with tempfile.TemporaryDirectory(prefix="edgemill-") as folder:
        yield unpack(Path(path), Path(folder, "bundle"))


def _listed(manifest: Manifest) -> list[tuple[str, FileEntry]]:
    return sorted({**manifest.records, **manifest.files}.items())


def _header(name: str, size: int) -> bytes:
    told = tarfile.TarInfo(name)
    told.size, told.mode = size, 0o644
    return told.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


def _member(name: str, content: bytes) -> bytes:
    return _header(name, len(content)) + content + _padding(len(content))


def _copy(source: IO[bytes], target: IO[bytes], name: str, entry: FileEntry) -> None:
    digest, left = hashlib.sha256(), entry.bytes
    while left:
        piece = source.read(min(left, _PIECE))
        if not piece:
            break
        digest.update(piece)
        target.write(piece)
        left -= len(piece)
    if left or digest.hexdigest() != entry.sha256:
        got = f"{left} bytes fewer" if left else f"SHA-256 {digest.hexdigest()}"
        expected = f"{entry.bytes} bytes, SHA-256 {entry.sha256}"
        raise _damaged(f"{name} in the bundle was altered", expected, got)


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # opening a pipe would wait for somebody to write
            raise OSError("a folder, or something else that is no file")
        source = file.open("rb")
    except OSError as error:
        raise BundleError(
            f"there is no bundle at {file}",
            expected="a file that `edgemill bundle export` wrote",
            got=str(error),
            fix="give the file's name",
        ) from error
    with source:
        yield source


def _head(file: Path, source: IO[bytes]) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest, and the content of the first two members, once the file is known to be as long as it must be."""
    first = source.read(_BLOCK)
    try:
        size = int(first[124:135], 8) if first == _header(MANIFEST, int(first[124:135], 8)) else None
    except ValueError:
        size = None
    if size is None or size > MOST_MANIFEST:
        got = f"{len(first)} bytes" if len(first) < _BLOCK else "something else, or a manifest of absurd length"
        raise _damaged(f"{file} is no bundle in one file", f"a tar that begins with {MANIFEST}", got)
    content = source.read(size)
    seal = f"{sha256_bytes(content)}\n".encode()
    if source.read(len(_padding(size))) + source.read(len(_member(SEAL, seal))) != _padding(size) + _member(SEAL, seal):
        raise _damaged(f"the manifest in {file} was altered", "the SHA-256 that seals it, right behind it", "another")
    manifest = parse_manifest(content)
    check_agent(manifest.min_agent, this_edgemill())
    doubled = set(manifest.files) & set(manifest.records) | {MANIFEST, SEAL} & {*manifest.files, *manifest.records}
    if doubled:
        raise _damaged(f"the manifest in {file} lists a file twice", "each once", ", ".join(sorted(doubled)))
    end = source.tell() + sum(len(_header(n, e.bytes)) + e.bytes + len(_padding(e.bytes)) for n, e in _listed(manifest))
    length = os.fstat(source.fileno()).st_size
    if length != end + len(_END):
        kind = "is cut off" if length < end + len(_END) else "is longer than it may be"
        raise _damaged(f"{file} {kind}", f"{end + len(_END):,} bytes, by its manifest", f"{length:,} bytes")
    return manifest, {MANIFEST: content, SEAL: seal}


def _files(file: Path, source: IO[bytes], manifest: Manifest, place: Path) -> None:
    for name, entry in _listed(manifest):
        _expect(file, source, _header(name, entry.bytes), f"the header of {name}")
        path = place / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            target = path.open("xb")
        except (FileExistsError, NotADirectoryError) as error:
            got = "a name that is both a file and a folder"
            raise _damaged(f"the manifest in {file} is wrong at {name}", "files and folders apart", got) from error
        with target:
            _copy(source, target, name, entry)
        _expect(file, source, _padding(entry.bytes), f"the padding of {name}")
    _expect(file, source, _END, "the end")


def _expect(file: Path, source: IO[bytes], wanted: bytes, what: str) -> None:
    if source.read(len(wanted)) != wanted:
        raise _damaged(f"{file} is damaged at {what}", "the bytes that follow from its manifest", "others")


def _own_folder(manifest: Manifest) -> str:
    name = f"{manifest.name}-{manifest.version}"
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*", name):
        raise _damaged("the bundle has no name that a folder may have", "letters, digits, . _ -", repr(name))
    return name


def _already(file: Path, manifest: Manifest, target: Path) -> Bundle:
    there = open_bundle(target)
    if there.manifest.content_digest == manifest.content_digest:
        return there
    raise BundleError(
        f"another bundle of the same name and version lies at {target}",
        expected=f"nothing there, or content {manifest.content_digest[:12]} as in {file}",
        got=f"content {there.manifest.content_digest[:12]}",
        fix="remove it, or name another folder; `edgemill bundle diff` says what differs",
    )


def _damaged(what: str, expected: str, got: str) -> BundleError:
    return BundleError(what, expected=expected, got=got, fix="get the bundle again; do not use this copy")


def _no_room(folder: Path, got: str) -> InputError:
    return InputError(
        f"the bundle cannot be unpacked in {folder}",
        expected="a folder that may be written to, on a disk with room",
        got=got,
        fix="make room, or name another folder (TMPDIR, where a command unpacks it by itself)",
    )
