"""Bring what a box trusts up to date from a server, or a stick, that need not be trusted at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from tuf.api.metadata import Root, Snapshot, Targets, Timestamp

from edgemill_link.trust.refusal import Attack, Refused
from edgemill_link.trust.source import Source
from edgemill_link.trust.store import TrustStore
from edgemill_link.trust.trusted import (
    RELEASES,
    Trusted,
    check_root,
    check_snapshot,
    check_timestamp,
    most_bytes,
    next_root,
    time_floor,
    with_role,
    with_snapshot,
    with_timestamp,
)

MOST_ROOTS = 256
"""Roots that are followed in one go; a box that was away for longer asks again."""
MOST_ROOT_BYTES, MOST_TIMESTAMP_BYTES, MOST_OTHER_BYTES = 512_000, 16_384, 5_000_000


def refresh(source: Source, store: TrustStore, clock: Callable[[], datetime]) -> Trusted:
    """Follow root, then timestamp, snapshot, targets and releases; each is kept before the next is asked for.

    Args:
        source: what is read from it is verified here.
        store: what was trusted before; a root must be in it.
        clock: this box's own, which may be wrong; never believed where it lies before what was signed.

    Returns:
        What is trusted now, every role of it fresh.

    Raises:
        Refused: something is not to be believed; what was kept before it stays.
        LinkError: the source cannot be reached.
    """
    trusted = _roots(source, store, store.load())
    check_root(trusted, trusted_now(trusted, clock))
    data = source.read("metadata/timestamp.json", MOST_TIMESTAMP_BYTES)
    believed = with_timestamp(trusted, data)
    if believed is not trusted:
        store.keep(Timestamp.type, data)
    now = trusted_now(believed, clock)
    check_timestamp(believed, now)
    trusted = _snapshot(source, store, believed)
    check_snapshot(trusted, now)
    for name in (Targets.type, RELEASES):
        trusted = _role(source, store, trusted, name, now)
    return trusted


def trusted_now(trusted: Trusted, clock: Callable[[], datetime]) -> datetime:
    """The time by this box's clock, or by what was signed if that is later."""
    return max(clock(), time_floor(trusted))


def _roots(source: Source, store: TrustStore, trusted: Trusted) -> Trusted:
    for _ in range(MOST_ROOTS):
        try:
            data = source.read(f"metadata/{trusted.root.version + 1}.root.json", MOST_ROOT_BYTES)
        except Refused as refusal:
            if refusal.attack is Attack.MISSING:
                return trusted
            raise
        trusted = next_root(trusted, data)
        store.keep(Root.type, data)
        trusted = store.load()  # what is signed by keys that this root does not name counts no more
    return trusted


def _snapshot(source: Source, store: TrustStore, trusted: Trusted) -> Trusted:
    assert trusted.timestamp is not None
    wanted = trusted.timestamp.snapshot_meta
    if trusted.snapshot is not None and trusted.snapshot.version == wanted.version:
        return trusted
    most = most_bytes(trusted, Snapshot.type, MOST_OTHER_BYTES)
    data = source.read(f"metadata/{wanted.version}.snapshot.json", most)
    trusted = with_snapshot(trusted, data)
    store.keep(Snapshot.type, data)
    return trusted


def _role(source: Source, store: TrustStore, trusted: Trusted, name: str, now: datetime) -> Trusted:
    stored = store.read(name)
    if stored is not None:
        try:
            return with_role(trusted, name, stored, now)
        except Refused:
            pass  # another version is listed, or other keys are to sign it: it is asked for
    assert trusted.snapshot is not None
    listed = trusted.snapshot.meta.get(f"{name}.json")
    version = listed.version if listed is not None else 1
    data = source.read(f"metadata/{version}.{name}.json", most_bytes(trusted, name, MOST_OTHER_BYTES))
    trusted = with_role(trusted, name, data, now)
    store.keep(name, data)
    return trusted
