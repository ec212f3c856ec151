"""Put a bundle into the folder of releases, and sign for it."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from securesystemslib.signer import Signer
from tuf.api.metadata import TargetFile

from edgemill_core.bundle import Bundle, FileEntry
from edgemill_core.bundle.store import MANIFEST
from edgemill_core.durable import sync_folder, write_bytes
from edgemill_core.errors import BundleError, InputError
from edgemill_fleet.releases.repository import Repository
from edgemill_link.trust.blobs import blob_path

_PIECE = 1 << 20


def publish(repository: Repository, bundle: Bundle, signers: Sequence[Signer]) -> str:
    """Copy the bundle's files to where boxes fetch them, each once, and sign for its manifest.

    Args:
        bundle: verified when it was opened; every file is verified again as it is copied.
        signers: of ``releases`` and the online roles.

    Returns:
        The release, ``NAME/VERSION``.

    Raises:
        InputError: another bundle of this name and version was released, or a key is missing.
        BundleError: a file of the bundle is not as its manifest says.
    """
    manifest = bundle.manifest
    name = f"{manifest.name}/{manifest.version}"
    content = (bundle.folder / MANIFEST).read_bytes()
    made = TargetFile.from_data(f"{name}/{MANIFEST}", content, ["sha256"])
    made.unrecognized_fields["custom"] = {
        "content_digest": manifest.content_digest,
        "bytes": manifest.size_bytes,
        "min_agent": manifest.min_agent,
    }
    known = repository.releases().get(made.path)
    if known is not None and known.hashes != made.hashes:
        raise InputError(
            f"{name} was released before, with other content",
            expected="a new version: boxes may already run the other one",
            got=f"manifest {made.hashes['sha256'][:12]} instead of {known.hashes['sha256'][:12]}",
            fix="give it a new version: in the recipe, and build again",
        )
    for path, entry in {**manifest.records, **manifest.files}.items():
        _keep_blob(repository.folder / "blobs" / blob_path(entry.sha256), bundle.folder / path, entry)
    target = repository.folder / "targets" / name / f"{made.hashes['sha256']}.{MANIFEST}"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(target, content)
    if known is None:
        repository.change_releases({made.path: made}, [], signers)
    return name


def _keep_blob(target: Path, source: Path, entry: FileEntry) -> None:
    if target.is_file() and target.stat().st_size == entry.bytes:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".new.", delete=False) as out:
        try:
            with source.open("rb") as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
                    out.write(piece)
            out.flush()
            os.fsync(out.fileno())
            if digest.hexdigest() != entry.sha256:
                raise BundleError(
                    f"{source} was altered",
                    expected=f"SHA-256 {entry.sha256}",
                    got=digest.hexdigest(),
                    fix="build the bundle again",
                )
            os.chmod(out.name, 0o644)
            os.replace(out.name, target)
        except BaseException:
            Path(out.name).unlink(missing_ok=True)
            raise
    sync_folder(target.parent)
