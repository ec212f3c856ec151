"""Put a bundle into the folder of releases, and sign for it; or take it off the list."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from securesystemslib.signer import Signer
from tuf.api.metadata import TargetFile

from edgemill_core.bundle import Bundle, Manifest
from edgemill_core.bundle.store import MANIFEST
from edgemill_core.durable import write_bytes
from edgemill_core.errors import InputError
from edgemill_fleet.releases.copying import copy_verified
from edgemill_fleet.releases.deltas import earlier_releases, make_deltas
from edgemill_fleet.releases.holding import held
from edgemill_fleet.releases.repository import WITHDRAWN, Repository
from edgemill_fleet.releases.signing import can_sign, missing_keys
from edgemill_fleet.releases.standing import Standing
from edgemill_link.trust.blobs import blob_path
from edgemill_link.trust.trusted import RELEASES

_PLAIN = r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}"


@dataclass(frozen=True)
class Published:
    """What became of it.

    Attributes:
        release: ``NAME/VERSION``.
        manifest: SHA-256 of its manifest.
        new: whether it was signed for now, and not before.
        blobs: files that were copied; others were there.
        bytes: of all its files.
        deltas: that lead to a file of it from one of an earlier release.
    """

    release: str
    manifest: str
    new: bool
    blobs: int
    bytes: int
    deltas: int = 0


def publish(
    repository: Repository,
    bundle: Bundle,
    signers: Sequence[Signer],
    tell: Callable[[str], None] = lambda _: None,
) -> Published:
    """Copy the bundle's files to where boxes fetch them, each once, and sign for its manifest.

    Args:
        bundle: verified when it was opened; every file is verified again as it is copied.
        signers: of ``releases`` and the online roles.
        tell: hears of every delta that is made.

    Raises:
        InputError: another bundle of this name and version was released, a key is missing, or somebody else publishes.
        BundleError: a file of the bundle is not as its manifest says.
        TrustError: the folder is not what its keys signed.
    """
    content = (bundle.folder / MANIFEST).read_bytes()
    made = _target(bundle.manifest, content)
    digest = made.hashes["sha256"]
    with held(repository.folder):
        standing = repository.to_sign(signers)
        known = standing.releases.targets.get(made.path)
        _check_same(made, known, standing.releases.unrecognized_fields.get(WITHDRAWN, {}))
        if known is None:
            _check_keys(standing, signers)
        place = repository.folder
        entries = {**bundle.manifest.records, **bundle.manifest.files}
        copied = sum(
            copy_verified(bundle.folder / path, place / "blobs" / blob_path(entry.sha256), entry.sha256, entry.bytes)
            for path, entry in sorted(entries.items())
        )
        earlier = earlier_releases(place, standing, bundle.manifest.name, bundle.manifest.version)
        deltas = make_deltas(place, bundle.manifest, earlier, tell)
        write_bytes(place / "targets" / name_of(made.path) / f"{digest}.{MANIFEST}", content)
        if known is None:
            repository.change_releases({made.path: made}, [], signers)
    return Published(name_of(made.path), digest, known is None, copied, bundle.manifest.size_bytes, deltas)


def withdraw(repository: Repository, release: str, signers: Sequence[Signer]) -> None:
    """Take ``NAME/VERSION`` off the list: no box begins with it any more. Its files stay, and so does what runs.

    Raises:
        InputError: it is not listed, a key is missing, or somebody else publishes.
        TrustError: the folder is not what its keys signed.
    """
    with held(repository.folder):
        path = listed_path(repository.releases(), release)
        repository.change_releases({}, [path], signers)


def listed_path(releases: Mapping[str, TargetFile], release: str) -> str:
    """The path of ``NAME/VERSION`` among the releases.

    Raises:
        InputError: it is not listed.
    """
    path = f"{release}/{MANIFEST}"
    if path in releases:
        return path
    raise InputError(
        f"{release} is not released",
        expected="NAME/VERSION of a release that is listed",
        got=", ".join(name_of(one) for one in sorted(releases)[:20]) or "none is listed",
        fix="publish it first, or name one of those",
    )


def name_of(path: str) -> str:
    """``NAME/VERSION`` of a release's path."""
    return path.removesuffix(f"/{MANIFEST}")


def _target(manifest: Manifest, content: bytes) -> TargetFile:
    for what, said in (("name", manifest.name), ("version", manifest.version)):
        if not re.fullmatch(_PLAIN, said):
            raise InputError(
                f"the bundle has no {what} that can be released",
                expected="letters, digits, . _ + - and a letter or digit first",
                got=repr(said)[:100],
                fix="build it under another one",
            )
    made = TargetFile.from_data(f"{manifest.name}/{manifest.version}/{MANIFEST}", content, ["sha256"])
    made.unrecognized_fields["custom"] = {
        "content_digest": manifest.content_digest,
        "bytes": manifest.size_bytes,
        "min_agent": manifest.min_agent,
    }
    return made


def _check_same(made: TargetFile, known: TargetFile | None, withdrawn: Mapping[str, str]) -> None:
    before = known.hashes["sha256"] if known is not None else withdrawn.get(made.path)
    if before is not None and before != made.hashes["sha256"]:
        raise InputError(
            f"{name_of(made.path)} was released before, with other content",
            expected="a new version: boxes may already run the other one",
            got=f"manifest {made.hashes['sha256'][:12]} instead of {before[:12]}",
            fix="give it a new version: in the recipe, and build again",
        )


def _check_keys(standing: Standing, signers: Sequence[Signer]) -> None:
    """Before gigabytes are copied."""
    for name, delegator in ((RELEASES, standing.delegator), ("snapshot", standing.root)):
        if not can_sign(name, delegator, signers):
            raise missing_keys(name, delegator.get_delegated_role(name), [])
