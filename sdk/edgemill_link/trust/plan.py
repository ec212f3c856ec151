"""A plan: what one device should run, signed by a key that root names for it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, ValidationError, model_validator
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import Signature, Signer
from tuf.api.metadata import Role, Root, TargetFile

from edgemill_core.durable import canonical_json, sha256_bytes
from edgemill_core.validation import Strict, complaint
from edgemill_link.trust.refusal import Attack, Refused
from edgemill_link.trust.trusted import Trusted

PLANS = "x-edgemill-plans"
"""Field of root: ``{"keyids": […], "threshold": N}``, of keys among root's own."""
MOST_PLAN_BYTES = 256_000
_ASK = "ask the people who sign plans; what runs here goes on"
PlainName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}$")]
"""A box makes folders of these names, whoever signed for them."""


class PlannedRelease(Strict):
    """A release that a device should run.

    Attributes:
        manifest: SHA-256 of its manifest, as it is listed among the releases.
    """

    name: PlainName
    version: PlainName
    manifest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @property
    def path(self) -> str:
        """Its name among the releases."""
        return f"{self.name}/{self.version}/manifest.json"


class Plan(Strict):
    """What one device should run.

    Attributes:
        device: its id; no other device believes it.
        version: counts up; an older one is not believed any more.
        expires: after that it is not begun with; what was begun goes on.
        releases: at most one of a name.
    """

    type: Literal["edgemill-plan"] = "edgemill-plan"
    device: str
    version: Annotated[int, Field(ge=1, lt=1 << 40)]
    expires: AwareDatetime
    releases: tuple[PlannedRelease, ...]

    @model_validator(mode="after")
    def _one_of_a_name(self) -> Plan:
        names = [one.name for one in self.releases]
        if len(set(names)) < len(names):
            raise ValueError("one release of a name")
        return self


class Signed(Strict):
    """A plan with its signatures, as it travels."""

    signed: Plan
    signatures: tuple[dict[str, str], ...]

    def as_bytes(self) -> bytes:
        """As a device believes it."""
        return canonical_json(self.model_dump(mode="json"))


def sign_plan(plan: Plan, signers: list[Signer]) -> bytes:
    """The plan as a device believes it."""
    made = [signer.sign(_payload(plan)).to_dict() for signer in signers]
    return Signed(signed=plan, signatures=tuple(made)).as_bytes()


def read_plan(trusted: Trusted, data: bytes, device: str, before: tuple[int, str] | None, now: datetime) -> Plan:
    """Believe a plan, or say why not.

    Args:
        trusted: root and releases, fresh.
        device: this one.
        before: version and digest (``plan_digest``) of the plan that was believed last.
        now: as ``client.refresh`` takes it.

    Raises:
        Refused: not signed, for another device, older or other than the one of its version, expired, or of a release
            that is not listed now.
    """
    try:
        told = Signed.model_validate_json(data)
    except (ValidationError, RecursionError) as error:
        raise _refused(Attack.NOT_METADATA, "a plan", complaint(error)[:200]) from error
    plan = told.signed
    _check_signatures(trusted, told)
    if plan.device != device:
        raise _refused(Attack.ANOTHER_DEVICE, f"a plan for {device}", f"one for {plan.device}")
    if before is not None and plan.version < before[0]:
        raise _refused(Attack.ROLLBACK, f"version {before[0]} or newer", f"version {plan.version}")
    if before is not None and plan.version == before[0] and plan_digest(plan) != before[1]:
        raise _refused(Attack.ROLLBACK, f"version {before[0]} as it was", "another plan of the same version")
    if plan.expires <= now:
        raise _refused(Attack.FREEZE, f"one that holds on {now:%Y-%m-%d %H:%M}", f"expired on {plan.expires:%Y-%m-%d}")
    for one in plan.releases:
        _check_listed(one, trusted.releases())
    return plan


def believed_before(
    trusted: Trusted, data: bytes | None, otherwise: tuple[int, str] | None = None
) -> tuple[int, str] | None:
    """Version and digest of the plan that was believed last, for ``read_plan``, from its bytes.

    ``None`` where there is none, or the keys that signed it were replaced since: whoever stole such a key may have
    counted so far ahead that no version is left, and that must not hold for longer than his key. Bytes that cannot be
    read, because a disk lost some or a newer Edgemill wrote them, give ``otherwise``: they let no older plan in.
    """
    if data is None:
        return None
    try:
        told = Signed.model_validate_json(data)
    except (ValidationError, RecursionError):
        return otherwise
    role = plan_role(trusted.root)
    if count_signatures(trusted.root, role, told) < role.threshold:
        return None
    return told.signed.version, plan_digest(told.signed)


def plan_digest(plan: Plan) -> str:
    """SHA-256 of what is signed."""
    return sha256_bytes(_payload(plan))


def _payload(plan: Plan) -> bytes:
    return str(encode_canonical(plan.model_dump(mode="json"))).encode()


def count_signatures(root: Root, role: Role, told: Signed) -> int:
    """How many of the keys that ``role`` names signed a plan."""
    good = set()
    for one in told.signatures:
        keyid = one.get("keyid", "")
        key = root.keys.get(keyid)
        if keyid not in role.keyids or key is None:
            continue
        try:
            key.verify_signature(Signature(keyid, one.get("sig", "")), _payload(told.signed))
        except Exception:  # noqa: S112 (whatever is wrong with it, it does not count)
            continue
        good.add(keyid)
    return len(good)


def plan_role(root: Root) -> Role:
    """Who signs plans.

    Raises:
        Refused: root names nobody.
    """
    told: Any = root.unrecognized_fields.get(PLANS)
    try:
        return Role(list(told["keyids"]), int(told["threshold"]))
    except (TypeError, KeyError, ValueError) as error:
        raise _refused(Attack.WRONG_KEY, f"a root that names keys for plans ({PLANS})", str(error)) from error


def _check_signatures(trusted: Trusted, told: Signed) -> None:
    role = plan_role(trusted.root)
    good = count_signatures(trusted.root, role, told)
    if good < role.threshold:
        raise _refused(Attack.WRONG_KEY, f"{role.threshold} of the keys that root names for plans", f"{good}")


def _check_listed(one: PlannedRelease, listed: Mapping[str, TargetFile]) -> None:
    found = listed.get(one.path)
    if found is None:
        raise _refused(Attack.WITHDRAWN, "releases that are listed now", f"{one.name} {one.version}, which is not")
    if found.hashes.get("sha256") != one.manifest:
        raise _refused(
            Attack.ALTERED, f"the manifest that is listed for {one.name} {one.version}", f"SHA-256 {one.manifest[:12]}…"
        )


def _refused(attack: Attack, expected: str, got: str) -> Refused:
    return Refused(attack, "the plan is not believed", expected=expected, got=got, fix=_ASK)
