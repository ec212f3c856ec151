"""``edgemill release init | publish | withdraw | sign | plan | rotate``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgemill.cli.given_bundle import open_given
from edgemill.cli.output import print_json, print_line, progress
from edgemill.cli.releases.key_files import at_hand, public, signers
from edgemill_fleet.releases.holding import held, writing
from edgemill_fleet.releases.planning import make_plan, read_plans
from edgemill_fleet.releases.publishing import publish, withdraw
from edgemill_fleet.releases.renewing import Renewed, renew
from edgemill_fleet.releases.repository import Repository, RoleKeys
from edgemill_fleet.releases.rotating import NewKeys, rotate


@dataclass(frozen=True)
class Named:
    """Key files of each role, as they were named; ``None`` where they were not."""

    root: Sequence[Path] | None
    releases: Sequence[Path] | None
    online: Sequence[Path] | None
    plans: Sequence[Path] | None
    threshold: int | None


def run_init(folder: Path, named: Named, json: bool) -> None:
    """An empty folder of releases, signed by those of the named keys that are at hand."""
    root, releases, online, plans = (list(one or ()) for one in (named.root, named.releases, named.online, named.plans))
    keys = RoleKeys(public(root), public(releases), public(online), public(plans), named.threshold or 1)
    able = at_hand([*root, *releases, *online])
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with held(folder):
        made = Repository.create(folder, keys, able)
    first = folder / "metadata" / "1.root.json"
    if json:
        print_json({"repository": str(made.folder), "root": str(first), "threshold": keys.threshold})
        return
    print_line(f"releases  {made.folder}")
    print_line(f"root      {first}  (give it to every box, as fleet: trust: in its agent.yaml)")


def run_publish(repository: Repository, path: Path, keys: Sequence[Path], json: bool) -> None:
    """A bundle, signed for; exit code 0 also where it was before."""
    able = signers(keys)
    bundle = open_given(path)
    with progress() as tell:
        made = publish(repository, bundle, able, tell)
    if json:
        print_json(
            {
                "release": made.release,
                "manifest": made.manifest,
                "new": made.new,
                "blobs_copied": made.blobs,
                "deltas": made.deltas,
                "bytes": made.bytes,
            }
        )
        return
    said = "released" if made.new else "was released before, its files are whole"
    print_line(
        f"{made.release}  {said}: manifest {made.manifest[:12]}, {made.bytes:,} bytes, {made.blobs} blobs copied"
        f"{f', {made.deltas} deltas' if made.deltas else ''}"
    )


def run_withdraw(repository: Repository, name: str, keys: Sequence[Path], json: bool) -> None:
    """A release less; and who was to run it."""
    withdraw(repository, name, signers(keys))
    planned = [
        device
        for device, told in read_plans(repository.folder).items()
        if name in {f"{one.name}/{one.version}" for one in told.signed.releases}
    ]
    if json:
        print_json({"withdrawn": name, "still_planned_for": planned})
        return
    print_line(f"{name}  withdrawn; boxes that run it go on, none begins with it")
    if planned:
        print_line(f"  still planned for {', '.join(planned)}: they keep what they have until they get another plan")


def run_sign(repository: Repository, keys: Sequence[Path], json: bool) -> None:
    """The same as before, for longer."""
    _print_renewed(renew(repository, signers(keys)), json)


def run_plan(
    repository: Repository,
    device: str,
    releases: Sequence[str],
    keys: Sequence[Path],
    holds: tuple[float, int],
    json: bool,
) -> None:
    """What one device should run; ``holds``: days, and the least version."""
    days, version = holds
    made = make_plan(repository, device, releases, signers(keys), days, version)
    file = repository.folder / "plans" / f"{device}.json"
    if json:
        print_json({"plan": str(file), **made.model_dump(mode="json", exclude={"type"})})
        return
    names = ", ".join(f"{one.name}/{one.version}" for one in made.releases)
    print_line(f"{file}  version {made.version}, until {made.expires:%Y-%m-%d}: {names}")


def run_rotate(repository: Repository, named: Named, keys: Sequence[Path], json: bool) -> None:
    """Other keys, or the same for longer."""
    root, releases, online, plans = (
        public(one) if one else None for one in (named.root, named.releases, named.online, named.plans)
    )
    new = NewKeys(root, releases, online, plans, named.threshold)
    _print_renewed(rotate(repository, new, signers(keys)), json)


def _print_renewed(made: Renewed, json: bool) -> None:
    standing = made.standing
    if json:
        print_json(
            {
                "root": standing.root.version,
                "releases": sorted(standing.releases.targets),
                "still_to_sign": list(standing.outdated),
                "plans_signed": list(made.plans),
                "plans_still_to_sign": list(made.plans_left),
            }
        )
        return
    print_line(f"root       version {standing.root.version}, until {standing.root.expires:%Y-%m-%d}")
    print_line(f"releases   {len(standing.releases.targets)}, until {standing.releases.expires:%Y-%m-%d}")
    print_line(f"timestamp  version {standing.timestamp.version}, until {standing.timestamp.expires:%Y-%m-%d}")
    if made.plans:
        print_line(f"plans      signed again for {', '.join(made.plans)}")
    for what, left in (("roles", standing.outdated), ("plans of", made.plans_left)):
        if left:
            sys.stderr.write(
                f"still to be signed by new keys: {what} {', '.join(left)}\n"
                "  to do:    edgemill release sign REPO --key …, with the online key; until then boxes refuse them\n"
            )
