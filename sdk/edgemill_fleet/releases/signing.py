"""Sign metadata with the keys that are at hand, and see that it is enough before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from securesystemslib.signer import Key, Signer
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, Role, Root, Signed, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

from edgemill_core.errors import InputError
from edgemill_fleet.releases.standing import Delegator, Standing, vouches
from edgemill_link.trust.trusted import TIME

_SERIALIZER = JSONSerializer(compact=False)


def signed_bytes(
    name: str, signed: Signed, delegators: Sequence[Delegator], signers: Sequence[Signer], now: datetime
) -> bytes:
    """A role as it is published.

    Args:
        delegators: each of them must find enough signatures of keys that it names.
        signers: those at hand; all that some delegator names sign.
        now: when it is signed.

    Raises:
        InputError: a key that it takes is missing, or does not belong to the public key that it comes with.
    """
    if isinstance(signed, (Root, Timestamp)):
        signed.unrecognized_fields[TIME] = now.isoformat()
    able: dict[str, Signer] = {}
    for delegator in delegators:
        role = delegator.get_delegated_role(name)
        found = able_of(role, signers)
        if len(found) < role.threshold:
            raise missing_keys(name, role, list(found.values()))
        able |= found
    metadata: Metadata[Any] = Metadata(signed)
    for signer in able.values():
        try:
            metadata.sign(signer, append=True)
        except UnsignedMetadataError as error:  # around what a token said
            if isinstance(error.__cause__, InputError):
                raise error.__cause__ from None
            raise
    if not all(vouches(delegator, name, metadata) for delegator in delegators):
        raise InputError(
            f"the signature of {name} does not hold",
            expected="private keys that belong to the public ones",
            got=", ".join(keyid[:8] for keyid in able),
            fix="look whether a .pem was put beside another's .key.json",
        )
    return metadata.to_bytes(_SERIALIZER)


def can_sign(name: str, delegator: Delegator, signers: Sequence[Signer]) -> bool:
    """Whether enough of the keys that ``delegator`` names for a role are at hand."""
    role = delegator.get_delegated_role(name)
    return len(able_of(role, signers)) >= role.threshold


def able_of(role: Role, signers: Sequence[Signer]) -> dict[str, Signer]:
    """Those that a role names, each once, by the key's id."""
    return {one.public_key.keyid: one for one in signers if one.public_key.keyid in role.keyids}


def check_known(standing: Standing, signers: Sequence[Signer], more: Sequence[Key] = ()) -> None:
    """See that each key is one of this folder's: one that signs for nothing was named by mistake.

    Raises:
        InputError: one is not.
    """
    known = {**standing.root.keys, **keys_of(standing.targets), **keys_of(standing.delegator)}
    known |= {key.keyid: key for key in more}
    for signer in signers:
        if signer.public_key.keyid not in known:
            raise InputError(
                f"key {signer.public_key.keyid[:8]} has nothing to say here",
                expected="a key that root or targets names",
                got="one that they do not, or do no more",
                fix="name another; `edgemill release ls` lists the keys of each role",
            )


def keys_of(targets: Targets) -> dict[str, Key]:
    """Of releases, by their ids."""
    return dict(targets.delegations.keys) if targets.delegations is not None else {}


def missing_keys(name: str, role: Role, able: Sequence[Signer]) -> InputError:
    """For a role that too few of its keys are there for."""
    return InputError(
        f"{name} cannot be signed",
        expected=f"{role.threshold} of the keys {', '.join(keyid[:8] for keyid in role.keyids)}",
        got=", ".join(signer.public_key.keyid[:8] for signer in able) or "none of them",
        fix="name them with --key; keys that are kept apart must be brought together for this",
    )
