"""What stands in a folder of releases: verified before anything new is signed on top of it.

Whoever can write to the folder, but has no key, must not have a word of his own signed by the next one who releases
something. So it is read as a box reads it, from root down by signatures and digests, except that it may have expired.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tuf.api.exceptions import LengthOrHashMismatchError, UnsignedMetadataError
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from edgemill_core.errors import InputError, TrustError
from edgemill_link.trust.refusal import Refused
from edgemill_link.trust.trusted import RELEASES, Trusted, first_root, next_root

MADE_WITH = "x-edgemill-root"
"""Field of targets: version of the root that they were made together with."""
Kind = TypeVar("Kind", bound=Signed)
Delegator = Root | Targets


@dataclass(frozen=True)
class Standing:
    """The state that boxes see, or would see once it is signed by the keys of today.

    Attributes:
        roots: all of them, or from the one on that was to be trusted; the last is in force.
        pending: targets that the keys of root signed, but no snapshot lists yet.
        outdated: roles that keys of an earlier root or targets signed; boxes refuse them until they are signed again.
    """

    roots: tuple[Root, ...]
    timestamp: Timestamp
    snapshot: Snapshot
    targets: Targets
    releases: Targets
    pending: Targets | None
    outdated: tuple[str, ...]

    @property
    def root(self) -> Root:
        """The one in force."""
        return self.roots[-1]

    @property
    def delegator(self) -> Targets:
        """Those that say who signs for releases from now on."""
        return self.pending or self.targets


def read_standing(folder: Path, trust: bytes | None = None) -> Standing:
    """Read a folder of releases.

    Args:
        trust: a root that it must go back to; its own first one if not said.

    Raises:
        InputError: it is no folder of releases.
        TrustError: something in it is not what its keys signed.
    """
    reading = _Reading(folder)
    roots = reading.roots(trust)
    newest = roots[::-1]
    timestamp = reading.role(Timestamp, "timestamp", None, newest)
    snapshot = reading.role(Snapshot, "snapshot", timestamp.snapshot_meta, newest)
    targets = reading.role(Targets, "targets", snapshot.meta.get("targets.json"), newest)
    pending = reading.pending(targets.version, roots[-1])
    if pending is not None and "targets" in reading.outdated:
        reading.outdated.remove("targets")
    before = reading.targets_before(targets.version, newest)
    delegators = [one for one in (pending, targets) if one is not None]
    releases = reading.role(Targets, RELEASES, snapshot.meta.get(f"{RELEASES}.json"), delegators, before)
    if pending is not None:
        reading.outdated += [name for name in ("snapshot", "timestamp") if name not in reading.outdated]
    return Standing(roots, timestamp, snapshot, targets, releases, pending, tuple(reading.outdated))


class _Reading:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.outdated: list[str] = []

    def roots(self, trust: bytes | None) -> tuple[Root, ...]:
        first = self._folder / "metadata" / "1.root.json"
        if not first.is_file():
            raise no_repository(self._folder)
        try:
            row = [first_root(first.read_bytes() if trust is None else trust).root]
            if trust is not None and self._bytes(f"{row[0].version}.root.json") != trust:
                raise self._altered("the root", f"root {row[0].version} as it is trusted", "another, or an older state")
            while (data := self._bytes(f"{row[-1].version + 1}.root.json")) is not None:
                row.append(next_root(Trusted(row[-1]), data).root)
        except Refused as refusal:
            raise self._altered(refusal.what, str(refusal.expected), str(refusal.got)) from refusal
        return tuple(row)

    def role(
        self,
        kind: type[Kind],
        name: str,
        listed: MetaFile | None,
        today: Sequence[Delegator],
        before: Iterator[Delegator] | Sequence[Delegator] = (),
    ) -> Kind:
        """A role by what lists it, vouched for by the first of ``today`` or, then it is outdated, by another."""
        if listed is None and name != "timestamp":
            raise self._altered(name, "listed in what was signed", "no word of it")
        file = f"{listed.version}.{name}.json" if listed is not None else f"{name}.json"
        data = self._bytes(file)
        if data is None:
            raise self._altered(name, file, "no such file")
        try:
            if listed is not None:
                listed.verify_length_and_hashes(data)
            metadata: Metadata[Any] = Metadata.from_bytes(data)
        except (LengthOrHashMismatchError, DeserializationError, RecursionError) as error:
            raise self._altered(name, "the bytes that were signed for", str(error)[:200]) from error
        if not isinstance(metadata.signed, kind):
            raise self._altered(name, f"metadata of {name}", f"metadata of {metadata.signed.type}")
        if vouches(today[0], name, metadata):
            return metadata.signed
        self.outdated.append(name)
        if any(vouches(one, name, metadata) for many in (today[1:], before) for one in many):
            return metadata.signed
        raise self._altered(name, "signed by the keys that it takes", "signed by others")

    def pending(self, listed: int, root: Root) -> Targets | None:
        """Targets behind those that are listed; of a rotation that was cut off before its root, they do not count."""
        for version in sorted(self._versions("targets"), reverse=True):
            found = self._targets(version, [root]) if version > listed else None
            if found is not None and found.unrecognized_fields.get(MADE_WITH) == root.version:
                return found
        return None

    def targets_before(self, listed: int, roots: Sequence[Root]) -> Iterator[Targets]:
        for version in sorted(self._versions("targets"), reverse=True):
            found = self._targets(version, roots) if version < listed else None
            if found is not None:
                yield found

    def _targets(self, version: int, roots: Sequence[Root]) -> Targets | None:
        data = self._bytes(f"{version}.targets.json")
        try:
            metadata: Metadata[Any] = Metadata.from_bytes(data or b"")
        except (DeserializationError, RecursionError):
            return None
        found = metadata.signed
        fits = isinstance(found, Targets) and found.version == version
        return found if fits and any(vouches(root, "targets", metadata) for root in roots) else None

    def _versions(self, name: str) -> set[int]:
        heads = (file.name.split(".")[0] for file in (self._folder / "metadata").glob(f"*.{name}.json"))
        return {int(head) for head in heads if head.isascii() and head.isdigit()}

    def _bytes(self, file: str) -> bytes | None:
        try:
            return (self._folder / "metadata" / file).read_bytes()
        except FileNotFoundError:
            return None

    def _altered(self, what: str, expected: str, got: str) -> TrustError:
        return TrustError(
            f"{self._folder} is not what its keys signed: {what}",
            expected=expected,
            got=got,
            fix="find out who writes there; put the folder back as it was, from the copy that boxes are served",
        )


def vouches(delegator: Delegator, name: str, metadata: Metadata[Any]) -> bool:
    """Whether enough of the keys that ``delegator`` names for a role signed it."""
    try:
        delegator.verify_delegate(name, metadata.signed_bytes, metadata.signatures)
    except (UnsignedMetadataError, ValueError):
        return False
    return True


def no_repository(folder: Path) -> InputError:
    """For a folder without a root."""
    return InputError(
        f"{folder} is no folder of releases",
        expected="metadata/1.root.json in it",
        got="none" if folder.is_dir() else "no folder",
        fix="make one: edgemill release init",
    )
