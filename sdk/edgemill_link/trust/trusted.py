"""TUF's client workflow as pure functions: bytes and a time in, what is trusted from now on or a refusal out.

After "The Update Framework Specification" 1.0.34, section 5, with python-tuf's metadata and signatures. Unlike its
client this one takes the time as a parameter; a role that was stored is verified again by the role that hands on to it,
as that is *now*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any, TypeVar

from tuf.api.exceptions import LengthOrHashMismatchError, UnsignedMetadataError
from tuf.api.metadata import DelegatedRole, Metadata, MetaFile, Root, Signed, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from edgemill_link.trust.refusal import Attack, Refused

RELEASES = "releases"
"""The role that ``targets`` hands on to, and that signs for releases."""
MOST_AHEAD = 1 << 40
"""Versions above this are refused: one that cannot be counted up any more would end a role for ever."""
TIME = "x-edgemill-time"
"""Field of root and timestamp: when it was signed, ISO 8601 in UTC."""
_ASK = "ask the people who sign releases; what runs here goes on"

Kind = TypeVar("Kind", bound=Signed)


@dataclass(frozen=True)
class Trusted:
    """Metadata that this box believes.

    Attributes:
        root: never missing.
        timestamp, snapshot: verified, but perhaps expired: they still forbid anything older.
        roles: ``targets`` and ``releases``, once they belong to the snapshot.
    """

    root: Root
    timestamp: Timestamp | None = None
    snapshot: Snapshot | None = None
    roles: Mapping[str, Targets] = field(default_factory=lambda: MappingProxyType({}))

    def releases(self) -> Mapping[str, TargetFile]:
        """Every release that may be installed: its manifest's length and digests, by ``NAME/VERSION/manifest.json``.

        What the role signs for outside the paths that it was handed is not among them.
        """
        if RELEASES not in self.roles:
            return {}
        handed = self.roles[Targets.type].get_delegated_role(RELEASES)
        assert isinstance(handed, DelegatedRole)
        listed = self.roles[RELEASES].targets
        return {path: target for path, target in listed.items() if handed.is_delegated_path(path)}


def first_root(data: bytes) -> Trusted:
    """Believe the root that came with the box, which vouches for itself.

    Raises:
        Refused: it is no root, or not signed by its own keys.
    """
    root, metadata = _read(Root, data, "root")
    _check_signed(root, Root.type, metadata, "the first root")
    return Trusted(root)


def next_root(trusted: Trusted, data: bytes) -> Trusted:
    """The root behind the one that is trusted: signed by enough keys of both. What it was used for is verified anew.

    Raises:
        Refused: it is not the next version, or one of the two does not vouch for it.
    """
    root, metadata = _read(Root, data, "root")
    _check_signed(trusted.root, Root.type, metadata, f"root {root.version}, by the keys of root {trusted.root.version}")
    if root.version != trusted.root.version + 1:
        raise _refused(Attack.ROLLBACK, "root", f"version {trusted.root.version + 1}", f"version {root.version}")
    _check_signed(root, Root.type, metadata, f"root {root.version}, by its own keys")
    return Trusted(root)


def check_root(trusted: Trusted, now: datetime) -> None:
    """Refuse to go on from a root that has expired: only the last one of a row need not have.

    Raises:
        Refused: it has.
    """
    _check_fresh(trusted.root, "root", now)


def with_timestamp(trusted: Trusted, data: bytes) -> Trusted:
    """Believe a timestamp, old or new, as far as to forbid anything older; ``check_timestamp`` says if it is fresh.

    Raises:
        Refused: not signed by its key, or older than the one before, or naming an older snapshot.
    """
    new, metadata = _read(Timestamp, data, "timestamp")
    _check_signed(trusted.root, Timestamp.type, metadata, "timestamp")
    before = trusted.timestamp
    if before is not None:
        _check_not_older("timestamp", before.version, new.version)
        _check_not_older("snapshot, as timestamp says,", before.snapshot_meta.version, new.snapshot_meta.version)
        if new.version == before.version:
            return trusted
    return replace(trusted, timestamp=new)


def check_timestamp(trusted: Trusted, now: datetime) -> None:
    """Refuse to go on from a timestamp that has expired.

    Raises:
        Refused: it has: nobody signs any more, or somebody keeps what was signed from this box.
    """
    assert trusted.timestamp is not None
    _check_fresh(trusted.timestamp, "timestamp", now)


def with_snapshot(trusted: Trusted, data: bytes, stored: bool = False) -> Trusted:
    """Believe a snapshot, as far as to forbid anything older; ``check_snapshot`` says if it is the one to go on from.

    Args:
        stored: it was believed before, so the timestamp may already name a newer one.

    Raises:
        Refused: not signed by its key, not the one that timestamp names, or it drops or turns back a role.
    """
    assert trusted.timestamp is not None
    if not stored:
        _check_listed(trusted.timestamp.snapshot_meta, data, "snapshot", "timestamp")
    new, metadata = _read(Snapshot, data, "snapshot")
    _check_signed(trusted.root, Snapshot.type, metadata, "snapshot")
    if not stored:
        _check_version(trusted.timestamp.snapshot_meta, new, "snapshot", "timestamp")
    for name, before in trusted.snapshot.meta.items() if trusted.snapshot is not None else ():
        if name not in new.meta:
            raise _refused(Attack.ROLLBACK, "snapshot", f"{name} in it, as before", "no word of it")
        _check_not_older(f"{name}, as snapshot says,", before.version, new.meta[name].version)
    return replace(trusted, snapshot=new, roles=MappingProxyType({}))


def check_snapshot(trusted: Trusted, now: datetime) -> None:
    """Refuse to go on from a snapshot that is not the newest, or has expired.

    Raises:
        Refused: it is, or has.
    """
    assert trusted.timestamp is not None
    assert trusted.snapshot is not None
    _check_version(trusted.timestamp.snapshot_meta, trusted.snapshot, "snapshot", "timestamp")
    _check_fresh(trusted.snapshot, "snapshot", now)


def with_role(trusted: Trusted, name: str, data: bytes, now: datetime) -> Trusted:
    """Believe ``targets``, or ``releases`` behind it.

    Raises:
        Refused: not the one that the snapshot lists, not signed by the keys that the role before it names, or expired.
    """
    check_snapshot(trusted, now)
    assert trusted.snapshot is not None
    delegator: Root | Targets = trusted.root if name == Targets.type else trusted.roles[Targets.type]
    listed = trusted.snapshot.meta.get(f"{name}.json")
    if listed is None:
        raise _refused(Attack.MIX_AND_MATCH, name, "a role that the snapshot lists", "no word of it")
    _check_listed(listed, data, name, "snapshot")
    new, metadata = _read(Targets, data, name)
    _check_signed(delegator, name, metadata, name)
    _check_version(listed, new, name, "snapshot")
    _check_fresh(new, name, now)
    return replace(trusted, roles=MappingProxyType({**trusted.roles, name: new}))


def time_floor(trusted: Trusted) -> datetime:
    """The latest moment that has certainly passed: what was signed then is here.

    A box whose clock stands at 1970 takes this for the time, and so believes nothing that has expired by then. A
    timestamp's word counts up to its own expiry, and no longer than its key: whoever stole that can do no more than let
    this one go stale.
    """
    told = [_said_time(one) for one in (trusted.root, trusted.timestamp) if one is not None]
    return max(told)


def _said_time(signed: Signed) -> datetime:
    try:
        said = datetime.fromisoformat(str(signed.unrecognized_fields.get(TIME)).replace("Z", "+00:00"))
        return min(said.astimezone(timezone.utc), signed.expires)
    except (ValueError, OverflowError):
        return datetime.fromtimestamp(0, timezone.utc)


def most_bytes(trusted: Trusted, name: str, otherwise: int) -> int:
    """How long the metadata of a role may be: what was signed for, and no longer than a limit of our own.

    The online key lists the lengths; whoever stole it must not fill a box's memory.
    """
    listed: MetaFile | None = None
    if name == Snapshot.type and trusted.timestamp is not None:
        listed = trusted.timestamp.snapshot_meta
    elif trusted.snapshot is not None:
        listed = trusted.snapshot.meta.get(f"{name}.json")
    return min(listed.length, otherwise) if listed is not None and listed.length is not None else otherwise


def _read(kind: type[Kind], data: bytes, name: str) -> tuple[Kind, Metadata[Any]]:
    try:
        metadata: Metadata[Any] = Metadata.from_bytes(data)
    except (DeserializationError, RecursionError) as error:
        raise _refused(Attack.NOT_METADATA, name, f"metadata of {name}", f"{error}"[:200]) from error
    if not isinstance(metadata.signed, kind):
        raise _refused(Attack.NOT_METADATA, name, f"metadata of {name}", f"metadata of {metadata.signed.type}")
    if metadata.signed.version > MOST_AHEAD:
        raise _refused(
            Attack.FAST_FORWARD, name, f"a version of at most {MOST_AHEAD}", f"version {metadata.signed.version}"
        )
    return metadata.signed, metadata


def _check_signed(delegator: Root | Targets, name: str, metadata: Metadata[Any], said: str) -> None:
    try:
        delegator.verify_delegate(name, metadata.signed_bytes, metadata.signatures)
    except UnsignedMetadataError as error:
        raise _refused(Attack.WRONG_KEY, said, "signatures of as many keys as the role asks for", str(error)) from error
    except ValueError as error:
        raise _refused(Attack.WRONG_KEY, said, f"a role {name} that is handed on to", str(error)) from error


def _check_listed(listed: MetaFile, data: bytes, name: str, lister: str) -> None:
    try:
        listed.verify_length_and_hashes(data)
    except LengthOrHashMismatchError as error:
        raise _refused(Attack.MIX_AND_MATCH, name, f"the bytes that {lister} lists", str(error)) from error


def _check_version(listed: MetaFile, signed: Signed, name: str, lister: str) -> None:
    if signed.version != listed.version:
        expected = f"version {listed.version}, as {lister} says"
        raise _refused(Attack.MIX_AND_MATCH, name, expected, f"version {signed.version}")


def _check_not_older(name: str, before: int, now: int) -> None:
    if now < before:
        raise _refused(Attack.ROLLBACK, name, f"version {before} or newer", f"version {now}")


def _check_fresh(signed: Signed, name: str, now: datetime) -> None:
    if signed.is_expired(now):
        raise _refused(
            Attack.FREEZE,
            name,
            f"one that holds on {now:%Y-%m-%d %H:%M} UTC",
            f"version {signed.version}, which expired on {signed.expires:%Y-%m-%d %H:%M}",
            "see that this box's clock is right; else ask for newer metadata: nobody signed any, or it is held back",
        )


def _refused(attack: Attack, name: str, expected: str, got: str, fix: str = _ASK) -> Refused:
    return Refused(attack, f"the metadata of {name} is not believed", expected=expected, got=got, fix=fix)
