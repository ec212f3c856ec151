"""Other keys: a new root, and everything that the old keys signed signed again by the new ones.

What boxes see changes with one file, where old and new online keys are at hand: everything but root is first signed by
both, so that it holds under the root of before and under the next, and root comes last. Where the old online key is
gone or not to be used, root comes before the timestamp, and a box that looks in between asks again later. A rotation
that was cut off is done again.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

from securesystemslib.signer import Key, Signer
from tuf.api.metadata import Root, Targets

from edgemill_fleet.releases.holding import held
from edgemill_fleet.releases.planning import sign_plans_again, unsigned_plans
from edgemill_fleet.releases.renewing import Renewed
from edgemill_fleet.releases.repository import HOLDS, Holds, Repository, RoleKeys, delegations, set_keys
from edgemill_fleet.releases.signing import can_sign, signed_bytes
from edgemill_fleet.releases.standing import MADE_WITH, Standing
from edgemill_link.trust.plan import plan_role
from edgemill_link.trust.trusted import RELEASES


@dataclass(frozen=True)
class NewKeys:
    """Keys that a role has from now on; ``None`` leaves it those that it has."""

    root: Sequence[Key] | None = None
    releases: Sequence[Key] | None = None
    online: Sequence[Key] | None = None
    plans: Sequence[Key] | None = None
    threshold: int | None = None

    @property
    def all(self) -> list[Key]:
        """Of every role."""
        return [key for many in (self.root, self.releases, self.online, self.plans) for key in many or ()]


def rotate(repository: Repository, new: NewKeys, signers: Sequence[Signer], holds: Holds = HOLDS) -> Renewed:
    """Sign a new root and new targets; without new keys, that they hold for longer.

    Args:
        signers: enough of the root keys of before, and of those of now; of the other roles those that are at hand.

    Raises:
        InputError: a root key is missing, the threshold cannot be met, or somebody else publishes.
        TrustError: the folder is not what its keys signed.
    """
    with held(repository.folder):
        standing = repository.to_sign(signers, new.all)
        root = _next_root(repository, standing, new, holds)
        both = [standing.root, root]
        first = {f"{root.version}.root.json": signed_bytes("root", root, both, signers, repository.now)}
        targets, content = _next_targets(repository, standing, root, new, signers, holds)
        changed = {"targets": (targets.version, content)}
        if can_sign(RELEASES, targets, signers):
            changed[RELEASES] = repository.signed_releases(standing, targets, {}, (), signers, holds)
        again = sign_plans_again(repository.folder, standing, root, signers)
        repository.put(_in_order(repository, standing, root, first, changed, signers, holds))
        now = repository.standing()
        return Renewed(now, again, unsigned_plans(repository.folder, now.root))


def _in_order(
    repository: Repository,
    standing: Standing,
    root: Root,
    first: dict[str, bytes],
    changed: dict[str, tuple[int, bytes]],
    signers: Sequence[Signer],
    holds: Holds,
) -> dict[str, bytes]:
    """All that is to be written, in the order that leaves boxes with the state before or the one after."""
    if not can_sign("timestamp", root, signers):
        version, content = changed["targets"]  # listed by whoever signs the snapshot next
        return {f"{version}.targets.json": content, **first}
    if can_sign("timestamp", standing.root, signers):
        return {**repository.listed(standing, changed, [standing.root, root], signers, holds), **first}
    files = repository.listed(standing, changed, [root], signers, holds)
    timestamp = {"timestamp.json": files.pop("timestamp.json")}
    return {**files, **first, **timestamp}


def _next_root(repository: Repository, standing: Standing, new: NewKeys, holds: Holds) -> Root:
    root = copy.deepcopy(standing.root)
    root.version += 1
    root.expires = repository.now + holds.root
    named = {role: [root.keys[keyid] for keyid in root.roles[role].keyids] for role in ("root", "timestamp")}
    plans = [root.keys[keyid] for keyid in plan_role(root).keyids]
    set_keys(
        root,
        RoleKeys(
            root=named["root"] if new.root is None else new.root,
            releases=(),
            online=named["timestamp"] if new.online is None else new.online,
            plans=plans if new.plans is None else new.plans,
            threshold=root.roles["root"].threshold if new.threshold is None else new.threshold,
        ),
    )
    return root


def _next_targets(
    repository: Repository, standing: Standing, root: Root, new: NewKeys, signers: Sequence[Signer], holds: Holds
) -> tuple[Targets, bytes]:
    targets = copy.deepcopy(standing.delegator)
    targets.version += 1
    targets.expires = repository.now + holds.targets
    targets.unrecognized_fields[MADE_WITH] = root.version
    if new.releases is not None:
        targets.delegations = delegations(new.releases)
    both = [standing.root, root]
    return targets, signed_bytes("targets", targets, both, signers, repository.now)
