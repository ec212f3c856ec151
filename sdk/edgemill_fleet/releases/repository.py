"""The folder of releases: metadata that says what is in it, always signed before it is said.

What changes is written from the leaves up, each file in one move and under a name of its own version;
``timestamp.json``, the only name that is written over, comes last. So whoever reads, or whenever the power goes, finds
the state before or the one after.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from securesystemslib.signer import Key, Signer
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Role,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from edgemill_core.durable import write_bytes
from edgemill_core.errors import InputError
from edgemill_link.trust.plan import PLANS
from edgemill_link.trust.trusted import RELEASES, TIME

PATTERN = "*/*/manifest.json"
_SERIALIZER = JSONSerializer(compact=False)


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
    """A folder of releases.

    Args:
        folder: where it lies.
        now: the moment that everything signed from here on is of.
    """

    def __init__(self, folder: Path, now: datetime | None = None) -> None:
        self.folder = folder
        self._now = (now or datetime.now(timezone.utc)).replace(microsecond=0)

    @classmethod
    def create(
        cls,
        folder: Path,
        keys: RoleKeys,
        signers: Sequence[Signer],
        holds: Holds = Holds(),
        now: datetime | None = None,
    ) -> Repository:
        """Make an empty one: root, targets that hand on to ``releases``, and what says that there is nothing yet.

        Raises:
            InputError: something lies there, or a signature that it takes is missing.
        """
        if folder.exists() and any(folder.iterdir()):
            raise InputError(
                f"{folder} is not empty",
                expected="a new folder",
                got=f"{len(list(folder.iterdir()))} things in it",
                fix="name another folder",
            )
        made = cls(folder, now)
        root, targets = made._first_root(keys, holds), made._first_targets(keys, holds)
        _check_threshold(root, keys, signers)
        releases = Targets(expires=made._now + holds.targets)
        snapshot = Snapshot(expires=made._now + holds.online)
        timestamp = Timestamp(expires=made._now + holds.online)
        for name, signed in (
            ("root", root),
            ("targets", targets),
            (RELEASES, releases),
            ("snapshot", snapshot),
            ("timestamp", timestamp),
        ):
            made._write(name, signed, made._delegators(root, targets, name), signers)
        return made

    def releases(self) -> Mapping[str, TargetFile]:
        """What may be installed, by ``NAME/VERSION/manifest.json``."""
        found: Mapping[str, TargetFile] = self._load(RELEASES).targets
        return found

    def root_bytes(self) -> bytes:
        """The root that a box is given to begin with."""
        return self._newest("root").read_bytes()

    def change_releases(
        self,
        add: Mapping[str, TargetFile],
        withdraw: Iterable[str],
        signers: Sequence[Signer],
        holds: Holds = Holds(),
    ) -> None:
        """Sign for other releases than before.

        Raises:
            InputError: a key that it takes is missing.
        """
        releases = copy.deepcopy(self._load(RELEASES))
        releases.targets.update(add)
        for name in withdraw:
            releases.targets.pop(name, None)
        releases.version += 1
        releases.expires = self._now + holds.targets
        root, targets = self._load("root"), self._load("targets")
        self._write(RELEASES, releases, targets, signers)
        self._sign_online({RELEASES: releases.version}, root, signers, holds)

    def sign_again(
        self,
        signers: Sequence[Signer],
        holds: Holds = Holds(),
    ) -> None:
        """Let timestamp and snapshot hold for longer.

        Raises:
            InputError: the online key is missing.
        """
        self._sign_online({}, self._load("root"), signers, holds)

    def _sign_online(self, versions: Mapping[str, int], root: Root, signers: Sequence[Signer], holds: Holds) -> None:
        snapshot, timestamp = self._load("snapshot"), self._load("timestamp")
        for name, version in versions.items():
            snapshot.meta[f"{name}.json"] = self._meta(name, version)
        snapshot.version += 1
        snapshot.expires = self._now + holds.online
        self._write("snapshot", snapshot, root, signers)
        timestamp.snapshot_meta = self._meta("snapshot", snapshot.version)
        timestamp.version += 1
        timestamp.expires = self._now + holds.online
        self._write("timestamp", timestamp, root, signers)

    def _meta(self, name: str, version: int) -> MetaFile:
        return MetaFile.from_data(version, self._file(name, version).read_bytes(), ["sha256"])

    def _first_root(self, keys: RoleKeys, holds: Holds) -> Root:
        root = Root(expires=self._now + holds.root, consistent_snapshot=True)
        for role, own in (("root", keys.root), ("targets", keys.root), ("snapshot", keys.online)):
            for key in own:
                root.add_key(key, role)
        for key in keys.online:
            root.add_key(key, "timestamp")
        for role in ("root", "targets"):
            root.roles[role].threshold = keys.threshold
        root.keys.update({key.keyid: key for key in keys.plans})
        root.unrecognized_fields[PLANS] = {"keyids": [key.keyid for key in keys.plans], "threshold": 1}
        return root

    def _first_targets(self, keys: RoleKeys, holds: Holds) -> Targets:
        role = DelegatedRole(RELEASES, [key.keyid for key in keys.releases], 1, True, paths=[PATTERN])
        delegations = Delegations({key.keyid: key for key in keys.releases}, {RELEASES: role})
        return Targets(expires=self._now + holds.targets, delegations=delegations)

    def _delegators(self, root: Root, targets: Targets, name: str) -> Root | Targets:
        return targets if name == RELEASES else root

    def _write(self, name: str, signed: Signed, delegator: Root | Targets, signers: Sequence[Signer]) -> None:
        if isinstance(signed, (Root, Timestamp)):
            signed.unrecognized_fields[TIME] = self._now.isoformat()
        if isinstance(signed, Snapshot) and signed.version == 1:
            signed.meta = {f"{role}.json": self._meta(role, 1) for role in ("targets", RELEASES)}
        if isinstance(signed, Timestamp) and signed.version == 1:
            signed.snapshot_meta = self._meta("snapshot", 1)
        metadata: Metadata[Any] = Metadata(signed)
        role = delegator.get_delegated_role(name)
        able = [signer for signer in signers if signer.public_key.keyid in role.keyids]
        if len(able) < role.threshold:
            raise missing_keys(name, role, able)
        for signer in able:
            metadata.sign(signer, append=True)
        self.folder.joinpath("metadata").mkdir(parents=True, exist_ok=True)
        write_bytes(self._file(name, signed.version), metadata.to_bytes(_SERIALIZER))

    def _file(self, name: str, version: int) -> Path:
        return self.folder / "metadata" / ("timestamp.json" if name == "timestamp" else f"{version}.{name}.json")

    def _newest(self, name: str) -> Path:
        if name == "timestamp":
            return self._file(name, 0)
        found = list((self.folder / "metadata").glob(f"*.{name}.json"))
        if not found:
            raise InputError(
                f"{self.folder} is no folder of releases",
                expected=f"metadata/N.{name}.json in it",
                got="none",
                fix="make one: edgemill release init",
            )
        return max(found, key=lambda file: int(file.name.split(".")[0]))

    def _load(self, name: str) -> Any:
        return Metadata.from_file(str(self._newest(name))).signed


def missing_keys(name: str, role: Role, able: Sequence[Signer]) -> InputError:
    """For a role that too few of its keys are there for."""
    return InputError(
        f"{name} cannot be signed",
        expected=f"{role.threshold} of the keys {', '.join(keyid[:8] for keyid in role.keyids)}",
        got=", ".join(signer.public_key.keyid[:8] for signer in able) or "none of them",
        fix="name them with --key; keys that are kept apart must be brought together for this",
    )


def _check_threshold(root: Root, keys: RoleKeys, signers: Sequence[Signer]) -> None:
    if not 1 <= keys.threshold <= len(keys.root):
        raise InputError(
            "the threshold of root cannot be met",
            expected=f"1 to {len(keys.root)}, the number of root keys",
            got=str(keys.threshold),
            fix="name more root keys, or a smaller threshold",
        )
    able = [signer for signer in signers if signer.public_key.keyid in root.roles["root"].keyids]
    if len(able) < keys.threshold:
        raise missing_keys("root", root.roles["root"], able)
