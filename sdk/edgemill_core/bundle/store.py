"""Bundles on disk: written in one step, and never read without being verified."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgemill_core.bundle.manifest import Chain, FileEntry, Manifest, ModelEntry, parse_manifest
from edgemill_core.bundle.requirements import check_agent
from edgemill_core.durable import (
    canonical_json,
    make_folder,
    sha256_bytes,
    sha256_file,
    sync_folder,
    sync_tree,
    write_bytes,
)
from edgemill_core.errors import BundleError
from edgemill_core.tasks import Task, task_from

MANIFEST = "manifest.json"
SEAL = "manifest.sha256"


@dataclass(frozen=True)
class Bundle:
    """A verified bundle.

    Attributes:
        folder: where it lies.
        manifest: what it holds.
    """

    folder: Path
    manifest: Manifest

    @property
    def model(self) -> ModelEntry:
        """The first model; a bundle of one model has no other."""
        return self.manifest.models[0]

    @property
    def chain(self) -> Chain | None:
        """How several models follow one another; ``None`` for a bundle of one."""
        return self.manifest.chain

    def alone(self) -> tuple[Bundle, ...]:
        """Each model as a bundle of its own, over the same files; a bundle of one model is its own only one."""
        if self.manifest.chain is None:
            return (self,)
        return tuple(
            Bundle(self.folder, self.manifest.model_copy(update={"models": (model,), "chain": None}))
            for model in self.manifest.models
        )

    @property
    def task(self) -> Task:
        """The first model's task."""
        return task_from(self.model.task)

    def path(self, name: str) -> Path:
        """The file called ``name`` in the manifest.

        Raises:
            BundleError: the manifest lists no such file.
        """
        if name not in self.manifest.files and name not in self.manifest.records:
            raise BundleError(
                f"the bundle lists no file {name!r}",
                expected="a file of the manifest",
                got=name,
                fix="rebuild the bundle with `edgemill build`",
            )
        return self.folder / name


def describe_files(folder: Path, names: list[str]) -> dict[str, FileEntry]:
    """Digest and size of each named file below ``folder``."""
    return {
        name: FileEntry(sha256=sha256_file(folder / name), bytes=(folder / name).stat().st_size)
        for name in sorted(names)
    }


def write_bundle(source: Path, manifest: Manifest, target: Path) -> Bundle:
    """Seal ``source`` (already holding every file of ``manifest``) and move it to ``target``.

    Everything is on the disk before the rename, so ``target`` is never a mixture: it is the old bundle, the new
    one, or (for the instant between two renames where an old one is set aside) not there. A bundle that lies there
    whole and is the same to the last byte stays as it is, whoever reads it meanwhile; ``source`` is removed.
    """
    content = canonical_json(manifest.model_dump(mode="json"))
    if _lies_there(target, content):
        shutil.rmtree(source)
        return Bundle(target, manifest)
    write_bytes(source / MANIFEST, content)
    write_bytes(source / SEAL, (sha256_bytes(content) + "\n").encode())
    sync_tree(source)
    make_folder(target.parent)
    if target.exists():
        grave = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.old."))
        os.replace(target, grave / "bundle")
        os.replace(source, target)
    else:
        os.replace(source, target)
    for grave in target.parent.glob(f".{target.name}.old.*"):  # of writers before that were killed, too
        shutil.rmtree(grave, ignore_errors=True)
    sync_folder(target.parent)
    return Bundle(target, manifest)


def _lies_there(folder: Path, manifest: bytes) -> bool:
    path = folder / MANIFEST
    if not path.is_file() or path.read_bytes() != manifest:
        return False
    try:
        open_bundle(folder)
    except BundleError:
        return False
    return True


def open_bundle(folder: Path | str) -> Bundle:
    """Read and verify a bundle: seal, names, sizes and digests of every file, nothing unlisted, no links.

    Raises:
        BundleError: anything at all is not as the manifest says.
    """
    folder = Path(folder)
    manifest = peek(folder)
    listed = {**manifest.files, **manifest.records}
    _check_nothing_else(folder, listed)
    for name, entry in listed.items():
        _check_file(folder / name, name, entry)
    return Bundle(folder, manifest)


def peek(folder: Path) -> Manifest:
    """What a bundle says of itself: the manifest, if its seal is whole. Its files are not looked at.

    Raises:
        BundleError: there is none, or it was altered.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError(
            f"there is no bundle at {folder}",
            expected=f"a folder with {MANIFEST}",
            got="no such folder" if not folder.exists() else "a folder or file without it",
            fix="unpack it with `edgemill bundle import`, and give the folder that it prints"
            if folder.is_file()
            else "give the folder that `edgemill build` printed",
        )
    content = path.read_bytes()
    manifest = parse_manifest(content)
    _check_seal(folder, content)
    check_agent(manifest.min_agent, this_edgemill())
    return manifest


def this_edgemill() -> str | None:
    """Version of the Edgemill that is installed; ``None`` where it runs from its sources."""
    try:
        return version("edgemill")
    except PackageNotFoundError:
        return None


def _check_seal(folder: Path, content: bytes) -> None:
    seal = folder / SEAL
    want = seal.read_text(errors="replace").strip() if seal.is_file() else "no seal"
    got = sha256_bytes(content)
    if want != got:
        raise BundleError(
            "the bundle's manifest was altered",
            expected=f"SHA-256 {want}",
            got=f"SHA-256 {got}",
            fix="get the bundle again; do not use this copy",
        )


def _check_nothing_else(folder: Path, listed: Mapping[str, FileEntry]) -> None:
    for root, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = Path(root, name)
            relative = path.relative_to(folder).as_posix()
            if path.is_symlink():
                raise BundleError(
                    f"the bundle holds a link: {relative}",
                    expected="plain files",
                    got=f"a link to {os.readlink(path)}",
                    fix="get the bundle again, from somebody you trust",
                )
            if path.is_file() and relative not in listed and relative not in (MANIFEST, SEAL):
                raise BundleError(
                    f"the bundle holds a file that its manifest does not list: {relative}",
                    expected="only listed files",
                    got=relative,
                    fix="remove the file, or get the bundle again",
                )


def _check_file(path: Path, name: str, entry: FileEntry) -> None:
    if not path.is_file():
        raise BundleError(
            f"the bundle lacks {name}",
            expected=f"{entry.bytes} bytes",
            got="no such file",
            fix="get the bundle again; this copy is not whole",
        )
    size = path.stat().st_size
    digest = sha256_file(path) if size == entry.bytes else "not computed, the size differs"
    if size != entry.bytes or digest != entry.sha256:
        raise BundleError(
            f"{name} in the bundle was altered",
            expected=f"{entry.bytes} bytes, SHA-256 {entry.sha256}",
            got=f"{size} bytes, SHA-256 {digest}",
            fix="get the bundle again; do not use this copy",
        )
