"""``edgemill bundle export`` and ``import``."""

from __future__ import annotations

from pathlib import Path

from edgemill.cli.given_bundle import open_given
from edgemill.cli.output import print_json, print_line
from edgemill_core.bundle import Bundle, export_bundle, import_bundle
from edgemill_core.bundle.one_file import SUFFIX
from edgemill_core.durable import sha256_file
from edgemill_core.errors import InputError


def run_export(path: Path, file: Path, json: bool) -> None:
    """One file from a bundle; its own digest is printed, because a carrier can check it without Edgemill."""
    if file.suffix != SUFFIX or file.is_dir():
        raise InputError(
            f"a bundle in one file has a name that ends in {SUFFIX}",
            expected=f"NAME{SUFFIX}",
            got=f"{file}, a folder" if file.is_dir() else str(file),
            fix=f"name it {file.name}{SUFFIX}, say",
        )
    bundle = open_given(path)
    export_bundle(bundle, file)
    told = {**_about(bundle), "file": str(file), "bytes": file.stat().st_size, "sha256": sha256_file(file)}
    if json:
        print_json(told)
        return
    print_line(f"{file}  {told['bytes']:,} bytes, SHA-256 {told['sha256']}")


def run_import(file: Path, folder: Path, json: bool) -> None:
    """A bundle's folder from one file."""
    bundle = import_bundle(file, folder)
    if json:
        print_json({**_about(bundle), "bundle": str(bundle.folder)})
        return
    print_line(f"bundle  {bundle.folder}")


def _about(bundle: Bundle) -> dict[str, str]:
    manifest = bundle.manifest
    return {"name": manifest.name, "version": manifest.version, "content_digest": manifest.content_digest}
