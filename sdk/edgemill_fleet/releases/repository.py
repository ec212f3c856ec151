"""The folder of releases: metadata that says what is in it, always signed before it is said.

What changes is written from the leaves up, each file in one move and under a name of its own version;
``timestamp.json``, the only name that is written over, comes last. So whoever reads, or whenever the power goes, finds
the state before or the one after. Everything is signed before the first of it is written, and only what the timestamp
leads to counts: a file that a killed writer left is written over by the next.
"""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from securesystemslib.signer import Key, Signer
from tuf.api.metadata import DelegatedRole, Delegations, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from edgemill_core.durable import make_folder, sync_folder, write_bytes
from edgemill_core.errors import InputError
from edgemill_fleet.releases.signing import can_sign, check_known, signed_bytes
from edgemill_fleet.releases.standing import Standing, read_standing
from edgemill_link.trust.plan import PLANS
from edgemill_link.trust.trusted import RELEASES, TIME

PATTERN = "*/*/manifest.json"
WITHDRAWN = "x-edgemill-withdrawn"
"""Field of releases: SHA-256 of each manifest that is not listed any more, so that no other takes its name."""
_UNFINISHED = "metadata.new"


@dataclass(frozen=True)
class Holds:
    """How long what is signed holds; a box believes nothing that has expired.

    Attributes:
        root, targets: signed by hand, with keys that are kept apart.
        online: timestamp and snapshot, signed whenever something is released and by ``edgemill release sign``.
    """

    root: timedelta = timedelta(days=730)
    targets: timedelta = timedelta(days=365)
    online: timedelta = timedelta(days=30)


HOLDS = Holds()


@dataclass(frozen=True)
class RoleKeys:
    """Who signs for what.

    Attributes:
        root: kept offline; ``threshold`` of them sign a new root or new targets.
        releases: sign for releases, one suffices.
        online: signs timestamp and snapshot.
        plans: sign plans, one suffices.
    """

    root: Sequence[Key]
    releases: Sequence[Key]
    online: Sequence[Key]
    plans: Sequence[Key]
    threshold: int = 1


class Repository:
    """A folder of releases. Who changes it holds it (``holding.held``).

    Args:
        folder: where it lies.
        now: the moment that everything signed from here on is of.
        trust: a root that it must go back to, else what lies there is an error.
    """

    def __init__(self, folder: Path, now: datetime | None = None, trust: bytes | None = None) -> None:
        self.folder = folder
        self.now = (now or datetime.now(timezone.utc)).replace(microsecond=0)
        self._trust = trust

    @classmethod
    def create(
        cls,
        folder: Path,
        keys: RoleKeys,
        signers: Sequence[Signer],
        holds: Holds = HOLDS,
        now: datetime | None = None,
    ) -> Repository:
        """Make an empty one: root, targets that hand on to ``releases``, and what says that there is nothing yet.

        Raises:
            InputError: something lies there, or a signature that it takes is missing.
        """
        found = [one.name for one in folder.iterdir() if one.name != _UNFINISHED] if folder.exists() else []
        if found:
            raise InputError(
                f"{folder} is not empty",
                expected="a new folder",
                got=f"{len(found)} things in it",
                fix="name another folder",
            )
        made = cls(folder, now)
        root, targets = made._first_root(keys, holds), made._first_targets(keys, holds)
        files = {"1.root.json": signed_bytes("root", root, [root], signers, made.now)}
        content = {
            "targets": signed_bytes("targets", targets, [root], signers, made.now),
            RELEASES: signed_bytes(RELEASES, Targets(expires=made.now + holds.targets), [targets], signers, made.now),
        }
        files |= {f"1.{name}.json": data for name, data in content.items()}
        meta = {f"{name}.json": MetaFile.from_data(1, data, ["sha256"]) for name, data in content.items()}
        files |= made._online_files(Snapshot(meta=meta), Timestamp(), [root], signers, holds)
        made._begin(files)
        return made

    def standing(self) -> Standing:
        """What lies there, verified.

        Raises:
            InputError: it is no folder of releases.
            TrustError: it is not what its keys signed.
        """
        return read_standing(self.folder, self._trust)

    def releases(self) -> Mapping[str, TargetFile]:
        """What may be installed, by ``NAME/VERSION/manifest.json``."""
        found: Mapping[str, TargetFile] = self.standing().releases.targets
        return found

    def root_bytes(self) -> bytes:
        """The root that a box is given to begin with."""
        return (self.folder / "metadata" / f"{self.standing().root.version}.root.json").read_bytes()

    def change_releases(
        self,
        add: Mapping[str, TargetFile],
        withdraw: Iterable[str],
        signers: Sequence[Signer],
        holds: Holds = HOLDS,
    ) -> None:
        """Sign for other releases than before.

        Raises:
            InputError: a key that it takes is missing.
            TrustError: what lies there is not what its keys signed.
        """
        standing = self.to_sign(signers)
        content = self.signed_releases(standing, standing.delegator, add, withdraw, signers, holds)
        self.put(self.listed(standing, {RELEASES: content}, [standing.root], signers, holds))

    def sign_again(
        self,
        signers: Sequence[Signer],
        holds: Holds = HOLDS,
    ) -> None:
        """Let timestamp and snapshot hold for longer, and releases where a key of theirs is there.

        Raises:
            InputError: the online key is missing.
            TrustError: what lies there is not what its keys signed.
        """
        standing = self.to_sign(signers)
        changed = {}
        if can_sign(RELEASES, standing.delegator, signers):
            changed[RELEASES] = self.signed_releases(standing, standing.delegator, {}, (), signers, holds)
        self.put(self.listed(standing, changed, [standing.root], signers, holds))

    def to_sign(self, signers: Sequence[Signer], more: Sequence[Key] = ()) -> Standing:
        """What lies there, to sign on top of it; ``more`` are keys that are new.

        Raises:
            InputError: a signer has nothing to say here, or this machine's clock stands before what was signed.
            TrustError: it is not what its keys signed.
        """
        standing = self.standing()
        check_known(standing, signers, more)
        told = [str(one.unrecognized_fields.get(TIME, "")) for one in (standing.root, standing.timestamp)]
        if self.now.isoformat() < min(told):
            raise InputError(
                "the clock of this machine is not right",
                expected=f"a time after {min(told)}, when root and timestamp were signed",
                got=self.now.isoformat(),
                fix="set the clock: what is signed now would have expired before its time",
            )
        return standing

    def signed_releases(
        self,
        standing: Standing,
        targets: Targets,
        add: Mapping[str, TargetFile],
        withdraw: Iterable[str],
        signers: Sequence[Signer],
        holds: Holds,
    ) -> tuple[int, bytes]:
        """The next version of ``releases``, by the keys that ``targets`` names, and its bytes.

        Raises:
            InputError: none of them is there.
        """
        releases = copy.deepcopy(standing.releases)
        gone = releases.unrecognized_fields.setdefault(WITHDRAWN, {})
        for name in withdraw:
            if (found := releases.targets.pop(name, None)) is not None:
                gone[name] = found.hashes["sha256"]
        for name, target in add.items():
            releases.targets[name] = target
            gone.pop(name, None)
        releases.version += 1
        releases.expires = self.now + holds.targets
        return releases.version, signed_bytes(RELEASES, releases, [targets], signers, self.now)

    def listed(
        self,
        standing: Standing,
        changed: Mapping[str, tuple[int, bytes]],
        roots: Sequence[Root],
        signers: Sequence[Signer],
        holds: Holds,
    ) -> dict[str, bytes]:
        """Files to write, in their order: what changed, then the snapshot that lists it, then the timestamp.

        Args:
            changed: version and bytes of ``targets`` and ``releases``.
            roots: each must find the signatures that it asks for.

        Raises:
            InputError: the online key is missing.
        """
        files = {f"{version}.{name}.json": data for name, (version, data) in changed.items()}
        snapshot = copy.deepcopy(standing.snapshot)
        if standing.pending is not None and "targets" not in changed:
            version = standing.pending.version
            data = (self.folder / "metadata" / f"{version}.targets.json").read_bytes()
            changed = {**changed, "targets": (version, data)}
        for name, (version, data) in changed.items():
            snapshot.meta[f"{name}.json"] = MetaFile.from_data(version, data, ["sha256"])
        timestamp = copy.deepcopy(standing.timestamp)
        snapshot.version += 1
        timestamp.version += 1
        return files | self._online_files(snapshot, timestamp, roots, signers, holds)

    def put(self, files: Mapping[str, bytes]) -> None:
        """Write metadata, one file behind the other, each of them durable before the next."""
        for name, data in files.items():
            write_bytes(self.folder / "metadata" / name, data)

    def _online_files(
        self, snapshot: Snapshot, timestamp: Timestamp, roots: Sequence[Root], signers: Sequence[Signer], holds: Holds
    ) -> dict[str, bytes]:
        snapshot.expires = timestamp.expires = self.now + holds.online
        data = signed_bytes("snapshot", snapshot, roots, signers, self.now)
        timestamp.snapshot_meta = MetaFile.from_data(snapshot.version, data, ["sha256"])
        name = f"{snapshot.version}.snapshot.json"
        return {name: data, "timestamp.json": signed_bytes("timestamp", timestamp, roots, signers, self.now)}

    def _begin(self, files: Mapping[str, bytes]) -> None:
        place = self.folder / _UNFINISHED
        shutil.rmtree(place, ignore_errors=True)
        make_folder(place)
        for name, data in files.items():
            write_bytes(place / name, data)
        os.replace(place, self.folder / "metadata")
        sync_folder(self.folder)

    def _first_root(self, keys: RoleKeys, holds: Holds) -> Root:
        root = Root(expires=self.now + holds.root, consistent_snapshot=True)
        set_keys(root, keys)
        return root

    def _first_targets(self, keys: RoleKeys, holds: Holds) -> Targets:
        return Targets(expires=self.now + holds.targets, delegations=delegations(keys.releases))


def set_keys(root: Root, keys: RoleKeys) -> None:
    """Let ``root`` name these keys and no others.

    Raises:
        InputError: the threshold cannot be met.
    """
    own = {key.keyid: key for key in keys.root}
    if not 1 <= keys.threshold <= len(own):
        raise InputError(
            "the threshold of root cannot be met",
            expected=f"1 to {len(own)}, the number of root keys",
            got=str(keys.threshold),
            fix="name more root keys, or a smaller threshold",
        )
    for role, named, threshold in (
        ("root", keys.root, keys.threshold),
        ("targets", keys.root, keys.threshold),
        ("snapshot", keys.online, 1),
        ("timestamp", keys.online, 1),
    ):
        root.roles[role].keyids = _ids(named)
        root.roles[role].threshold = threshold
    root.keys = {key.keyid: key for many in (keys.root, keys.online, keys.plans) for key in many}
    root.unrecognized_fields[PLANS] = {"keyids": _ids(keys.plans), "threshold": 1}


def delegations(releases: Sequence[Key]) -> Delegations:
    """Who signs for releases."""
    role = DelegatedRole(RELEASES, _ids(releases), 1, True, paths=[PATTERN])
    return Delegations({key.keyid: key for key in releases}, {RELEASES: role})


def _ids(keys: Sequence[Key]) -> list[str]:
    return list(dict.fromkeys(key.keyid for key in keys))
