"""``edgemill bundle ls``: which bundles lie below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgemill.cli.columns import print_columns, printable
from edgemill.cli.output import print_json, print_line
from edgemill_core.bundle import Manifest, peek
from edgemill_core.bundle.one_file import SUFFIX, read_manifest
from edgemill_core.bundle.store import MANIFEST, SEAL
from edgemill_core.errors import EdgemillError, InputError


@dataclass(frozen=True)
class Found:
    """A bundle, or what claims to be one; then ``error`` says why it is none."""

    path: Path
    manifest: Manifest | None = None
    error: EdgemillError | None = None

    def as_dict(self) -> dict[str, object]:
        """JSON-ready form."""
        if self.manifest is None:
            return {"path": str(self.path), **(self.error.as_dict() if self.error else {})}
        manifest = self.manifest
        return {
            "path": str(self.path),
            "name": manifest.name,
            "version": manifest.version,
            "content_digest": manifest.content_digest,
            "schema": manifest.schema_version,
            "bytes": manifest.size_bytes,
            "variants": [one.name for model in manifest.models for one in model.variants],
        }


def run(folder: Path, json: bool) -> None:
    """List them; one that cannot be read is listed as such, and the exit code is still 0: nothing was asked of it."""
    if not folder.is_dir():
        raise InputError(
            f"there is no folder {folder}", expected="a folder", got=str(folder), fix="name one that is there"
        )
    found = list(bundles_below(folder))
    if json:
        print_json({"folder": str(folder), "bundles": [one.as_dict() for one in found]})
        return
    _print(found)


def bundles_below(folder: Path) -> Iterator[Found]:
    """All of them by path; hidden folders (caches, what is being written) are not looked into, links not followed."""
    for root, folders, names in os.walk(folder):
        if MANIFEST in names and SEAL in names:
            folders.clear()
            yield _found(Path(root))
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (_found(Path(root, name)) for name in sorted(names) if name.endswith(SUFFIX) and name[0] != ".")


def _found(path: Path) -> Found:
    try:
        return Found(path, peek(path) if path.is_dir() else read_manifest(path))
    except EdgemillError as error:
        return Found(path, error=error)


def _print(found: list[Found]) -> None:
    rows = [
        (
            one.manifest.name,
            one.manifest.version,
            one.manifest.content_digest[:12],
            f"{one.manifest.size_bytes / 1e6:.2f}",
            str(sum(len(model.variants) for model in one.manifest.models)),
            str(one.path),
        )
        for one in found
        if one.manifest is not None
    ]
    if rows:
        print_columns(("name", "version", "content", "MB", "variants", "path"), rows, ("MB", "variants"))
    for one in found:
        if one.error is not None:
            print_line(f"{printable(str(one.path))}: {one.error.what}")
    if not found:
        print_line("no bundles here")
