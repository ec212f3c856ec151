"""A folder of releases that has been through a life: publishing, withdrawing, plans, other keys."""

from __future__ import annotations

from pathlib import Path

from release_keys import Keys
from small_bundle import make_bundle

from edgemill_fleet.releases.planning import make_plan
from edgemill_fleet.releases.publishing import publish, withdraw
from edgemill_fleet.releases.repository import Repository
from edgemill_fleet.releases.rotating import NewKeys, rotate


def publish_three(folder: Path, keys: Keys) -> Repository:
    """``b`` 1.0.0 and 1.2.0; 1.1.0 was withdrawn. ``line3`` is to run 1.2.0. Of now, for clients that ask the clock."""
    Repository.create(folder, keys.roles, keys.all)
    repository = Repository(folder)
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        bundle = make_bundle(folder.parent / f"bundle {version}", {"golden/x.npy": version.encode()}, version=version)
        publish(repository, bundle, keys.all)
    withdraw(repository, "b/1.1.0", keys.all)
    make_plan(repository, "line3", ["b/1.2.0"], keys.all)
    return repository


def replace_every_key(repository: Repository, keys: Keys) -> Keys:
    """Root, too; gives the new ones."""
    fresh = Keys()
    roles = fresh.roles
    rotate(repository, NewKeys(roles.root, roles.releases, roles.online, roles.plans), [*keys.all, *fresh.all])
    return fresh
