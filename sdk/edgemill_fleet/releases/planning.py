"""Say what one device should run, and sign for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pydantic import ValidationError
from securesystemslib.signer import Signer
from tuf.api.metadata import Root, TargetFile

from edgemill_core.bundle.store import MANIFEST
from edgemill_core.durable import write_bytes
from edgemill_core.errors import EdgemillError, InputError, TrustError
from edgemill_fleet.releases.holding import held
from edgemill_fleet.releases.publishing import listed_path
from edgemill_fleet.releases.repository import Repository
from edgemill_fleet.releases.signing import able_of, missing_keys
from edgemill_fleet.releases.standing import Standing
from edgemill_link.trust.plan import Plan, PlannedRelease, Signed, count_signatures, plan_role, sign_plan
from edgemill_link.trust.trusted import MOST_AHEAD

_DEVICE = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"


def make_plan(
    repository: Repository,
    device: str,
    releases: Sequence[str],
    signers: Sequence[Signer],
    days: float = 30,
    least: int = 1,
) -> Plan:
    """Write ``plans/DEVICE.json``, of the version behind the one that lies there.

    Args:
        releases: ``NAME/VERSION`` of each, at most one of a name.
        days: how long it may be begun with.
        least: version that it has at least, where the plan before it was lost.

    Raises:
        InputError: no device may be called so, a release is not listed, the key is missing, or somebody else publishes.
        TrustError: the folder, or the plan before this one, is not what its keys signed.
    """
    plan_file(repository.folder, device)
    with held(repository.folder):
        planner = _Planner(repository, signers, days)
        return planner.make(device, releases, least)


@dataclass(frozen=True)
class Planned:
    """What became of many plans.

    Attributes:
        plans: by device, those that lie there now as they were wanted.
        signed: of them, those that were signed for it; others lay there already.
        faults: by device, why it has no new plan.
    """

    plans: Mapping[str, Plan]
    signed: frozenset[str]
    faults: Mapping[str, EdgemillError]


def make_plans(
    repository: Repository,
    wanted: Mapping[str, Sequence[str]],
    signers: Sequence[Signer],
    days: float = 30,
    least: Mapping[str, int] | None = None,
    still: Callable[[], None] = lambda: None,
) -> Planned:
    """Write the plans of many devices, having looked at the folder once. What no plan can be made of keeps no other.

    A plan that lies there as it is wanted, and holds for half of ``days`` still, is not signed again: so whoever is
    killed behind a write and does it again changes nothing.

    Args:
        wanted: ``NAME/VERSION`` of each release by device. Those that are not listed (any more) are left out.
        least: version by device that it has at least.
        still: asked once nobody else can write there, before anything is written; what it raises ends this.

    Raises:
        InputError: the key is missing, or somebody else publishes.
        TrustError: the folder is not what its keys signed.
    """
    plans: dict[str, Plan] = {}
    signed: set[str] = set()
    faults: dict[str, EdgemillError] = {}
    with held(repository.folder):
        still()
        planner = _Planner(repository, signers, days)
        for device, releases in wanted.items():
            lowest = (least or {}).get(device, 1)
            try:
                lies = planner.lies(device, releases, lowest)
                plans[device] = lies or planner.make(device, planner.listed(releases), lowest)
            except EdgemillError as error:
                faults[device] = error
                continue
            if lies is None:
                signed.add(device)
    return Planned(plans, frozenset(signed), faults)


class _Planner:
    """Makes plans in a folder that is held."""

    def __init__(self, repository: Repository, signers: Sequence[Signer], days: float) -> None:
        self._repository, self._holds = repository, timedelta(days=days)
        self._standing = repository.to_sign(signers)
        role = plan_role(self._standing.root)
        self._able = list(able_of(role, signers).values())
        if len(self._able) < role.threshold:
            raise missing_keys("a plan", role, self._able)

    def listed(self, releases: Sequence[str]) -> list[str]:
        """Those that are listed now."""
        return [one for one in releases if f"{one}/{MANIFEST}" in self._standing.releases.targets]

    def lies(self, device: str, releases: Sequence[str], least: int) -> Plan | None:
        """The plan that lies there, if another would say the same."""
        told = _read(plan_file(self._repository.folder, device))
        if told is None or not _vouches(self._standing.root, told):
            return None
        plan = told.signed
        same = plan.device == device and plan.releases == self._planned(self.listed(releases))
        fresh = plan.version >= least and plan.expires >= self._repository.now + self._holds / 2
        return plan if same and fresh else None

    def make(self, device: str, releases: Sequence[str], least: int) -> Plan:
        """Sign it, of the version behind the one that lies there, and write it."""
        file = plan_file(self._repository.folder, device)
        before = version_before(self._standing, file)
        plan = Plan(
            device=device,
            version=max(before + 1, least),
            expires=self._repository.now + self._holds,
            releases=self._planned(releases),
        )
        write_bytes(file, sign_plan(plan, self._able))
        return plan

    def _planned(self, releases: Sequence[str]) -> tuple[PlannedRelease, ...]:
        return _planned(self._standing.releases.targets, releases)


def plan_file(folder: Path, device: str) -> Path:
    """Where a device's plan lies.

    Raises:
        InputError: no device may be called so.
    """
    if not re.fullmatch(_DEVICE, device):
        raise InputError(
            "no device is called so",
            expected="letters, digits, . _ - (at most 64) and a letter or digit first, as device: id: in agent.yaml",
            got=repr(device)[:100],
            fix="name the device as its agent.yaml does",
        )
    return folder / "plans" / f"{device}.json"


def read_plans(folder: Path) -> dict[str, Signed]:
    """Every plan that lies there, by device; what is none is left out."""
    found = {}
    for file in sorted((folder / "plans").glob("*.json")):
        told = _read(file)
        if told is not None and re.fullmatch(_DEVICE, file.stem) and told.signed.device == file.stem:
            found[file.stem] = told
    return found


def sign_plans_again(folder: Path, standing: Standing, root: Root, signers: Sequence[Signer]) -> tuple[str, ...]:
    """Put signatures of ``signers`` beside those of the plans that lie there, where ``root`` names them for it.

    The old ones stay: a box that has not seen ``root`` yet believes by those.

    Returns:
        The devices whose plans were signed.
    """
    able = list(able_of(plan_role(root), signers).values())
    ours = {device: told for device, told in read_plans(folder).items() if _is_ours(standing, told)} if able else {}
    for device, told in ours.items():
        fresh = Signed.model_validate_json(sign_plan(told.signed, able)).signatures
        ids = {one["keyid"] for one in fresh}
        kept = tuple(one for one in told.signatures if one.get("keyid") not in ids)
        write_bytes(plan_file(folder, device), Signed(signed=told.signed, signatures=(*kept, *fresh)).as_bytes())
    return tuple(ours)


def unsigned_plans(folder: Path, root: Root) -> tuple[str, ...]:
    """Devices whose plans are not signed by the keys that ``root`` names for it."""
    return tuple(device for device, told in read_plans(folder).items() if not _vouches(root, told))


def version_before(standing: Standing, file: Path) -> int:
    """Version of the plan that lies there, 0 if there is none.

    Raises:
        TrustError: a file lies there that no key of this folder ever signed, or that one cannot count on from.
    """
    if not file.exists():
        return 0
    told = _read(file)
    ours = told is not None and _is_ours(standing, told)
    if told is None or not ours or told.signed.version >= MOST_AHEAD - 1:
        raise TrustError(
            f"{file} is no plan to count on from",
            expected="the one that was signed here last: its device believes only what is newer",
            got="a version that nothing can follow" if ours else "what no key of this folder signed",
            fix="put it back; or remove it, and give --version N above the one that its device reports",
        )
    return told.signed.version


def _is_ours(standing: Standing, told: Signed) -> bool:
    return any(_vouches(root, told) for root in standing.roots)


def _vouches(root: Root, told: Signed) -> bool:
    role = plan_role(root)
    return count_signatures(root, role, told) >= role.threshold


def _read(file: Path) -> Signed | None:
    try:
        return Signed.model_validate_json(file.read_bytes())
    except (FileNotFoundError, ValidationError, RecursionError):
        return None


def _planned(listed: Mapping[str, TargetFile], releases: Sequence[str]) -> tuple[PlannedRelease, ...]:
    made: dict[str, PlannedRelease] = {}
    for one in releases:
        digest = listed[listed_path(listed, one)].hashes["sha256"]
        name, _, version = one.partition("/")
        if name in made:
            raise InputError(
                f"the plan names {name} twice",
                expected="one version of it",
                got=f"{made[name].version} and {version}",
                fix="leave one out",
            )
        made[name] = PlannedRelease(name=name, version=version, manifest=digest)
    return tuple(made.values())
