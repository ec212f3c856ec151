"""Let what is signed hold for longer, without another word in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from securesystemslib.signer import Signer

from edgemill_fleet.releases.holding import held
from edgemill_fleet.releases.planning import sign_plans_again, unsigned_plans
from edgemill_fleet.releases.repository import HOLDS, Holds, Repository
from edgemill_fleet.releases.standing import Standing


@dataclass(frozen=True)
class Renewed:
    """What became of it.

    Attributes:
        standing: what lies there now; ``outdated`` in it waits for keys that were not at hand.
        plans: devices whose plans were signed.
        plans_left: devices whose plans wait for a key of today.
    """

    standing: Standing
    plans: tuple[str, ...]
    plans_left: tuple[str, ...]


def renew(repository: Repository, signers: Sequence[Signer], holds: Holds = HOLDS) -> Renewed:
    """Sign timestamp and snapshot again; releases and plans too where a key of theirs is there.

    Raises:
        InputError: the online key is missing, or somebody else publishes.
        TrustError: the folder is not what its keys signed.
    """
    with held(repository.folder):
        standing = repository.to_sign(signers)
        repository.sign_again(signers, holds)
        again = sign_plans_again(repository.folder, standing, standing.root, signers)
        now = repository.standing()
        return Renewed(now, again, unsigned_plans(repository.folder, now.root))
