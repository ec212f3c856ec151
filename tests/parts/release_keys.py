"""Keys and a folder of releases to attack."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.metadata import Metadata, TargetFile

from edgemill_fleet.releases.repository import Repository, RoleKeys
from edgemill_link.trust.client import refresh
from edgemill_link.trust.refusal import Attack, Refused
from edgemill_link.trust.source import FolderSource
from edgemill_link.trust.store import TrustStore
from edgemill_link.trust.trusted import Trusted

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=timezone.utc)
MANIFEST = b'{"name": "tiny"}'


@dataclass
class Keys:
    """One signer a role, root has three of which two must sign."""

    root: list[Signer] = field(default_factory=lambda: [CryptoSigner.generate_ed25519() for _ in range(3)])
    releases: Signer = field(default_factory=CryptoSigner.generate_ed25519)
    online: Signer = field(default_factory=CryptoSigner.generate_ed25519)
    plans: Signer = field(default_factory=CryptoSigner.generate_ed25519)

    @property
    def all(self) -> list[Signer]:
        return [*self.root, self.releases, self.online, self.plans]

    @property
    def roles(self) -> RoleKeys:
        return RoleKeys(
            [one.public_key for one in self.root],
            [self.releases.public_key],
            [self.online.public_key],
            [self.plans.public_key],
            threshold=2,
        )


def make_repository(folder: Path, keys: Keys, now: datetime = NOW) -> Repository:
    """With one release, ``tiny`` 1.0.0."""
    Repository.create(folder, keys.roles, keys.all, now=now)
    made = Repository(folder, now)
    made.change_releases({path_of("1.0.0"): target("1.0.0")}, [], keys.all)
    return made


def target(version: str, content: bytes = MANIFEST) -> TargetFile:
    return TargetFile.from_data(path_of(version), content, ["sha256"])


def path_of(version: str) -> str:
    return f"tiny/{version}/manifest.json"


def resigned(file: Path, signers: list[Signer], **changed: Any) -> None:
    """Alter fields of signed metadata and sign it with whatever keys the attacker has."""
    told = json.loads(file.read_bytes())
    told["signed"] |= changed
    metadata: Metadata[Any] = Metadata.from_bytes(json.dumps({**told, "signatures": []}).encode())
    for signer in signers:
        metadata.sign(signer, append=True)
    file.write_bytes(metadata.to_bytes())


def later(days: float) -> datetime:
    return NOW + timedelta(days=days)


def state(folder: Path) -> Mapping[str, bytes]:
    """All files below, to put back later or to compare."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def put_back(folder: Path, before: Mapping[str, bytes], *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(before[name])


def look(folder: Path, store: TrustStore, now: datetime = NOW) -> Trusted:
    """What a box believes after it looked at the folder."""
    return refresh(FolderSource(folder), store, lambda: now)


@contextmanager
def refused(attack: Attack) -> Iterator[None]:
    """What is inside is refused as this attack, with a message that says all that a message says."""
    with pytest.raises(Refused) as caught:
        yield
    assert caught.value.attack is attack, caught.value
    assert caught.value.exit_code == 1
    assert all((caught.value.expected, caught.value.got, caught.value.fix))
