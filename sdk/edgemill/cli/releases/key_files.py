"""``edgemill release key``, and the keys that other subcommands are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from securesystemslib.signer import Key, Signer

from edgemill.cli.output import print_json, print_line
from edgemill_core.errors import InputError
from edgemill_fleet.releases.holding import writing
from edgemill_fleet.releases.keys import KEY, PRIVATE, import_token_key, make_key, public_key, signer_of
from edgemill_fleet.releases.repository import Repository


def run(name: Path, token: int | None, json: bool) -> None:
    """A key, and where its halves are."""
    with writing(name.parent):
        file = make_key(name.parent, name.name) if token is None else import_token_key(name.parent, name.name, token)
    private = str(name.parent / f"{name.name}{PRIVATE}") if token is None else None
    keyid = public_key(file).keyid
    if json:
        print_json({"key": str(file), "keyid": keyid, "private": private})
        return
    print_line(f"key      {file}  ({keyid[:8]})")
    print_line(f"private  {private or 'in the token'}")


def open_repository(folder: Path, trust: Path | None) -> Repository:
    """A folder of releases as the command line names it.

    Raises:
        InputError: ``trust`` cannot be read.
    """
    try:
        return Repository(folder, trust=trust.read_bytes() if trust is not None else None)
    except OSError as error:
        raise InputError(
            f"{trust} cannot be read",
            expected="a root.json to trust",
            got=str(error),
            fix="name the one that boxes were given: metadata/1.root.json of the folder of releases",
        ) from error


def signers(files: Sequence[Path]) -> list[Signer]:
    """What signs with each of these keys.

    Raises:
        InputError: one is no key, or its private half is not there.
    """
    return [signer_of(_file(path)) for path in files]


def public(files: Sequence[Path]) -> list[Key]:
    """The public half of each of these keys.

    Raises:
        InputError: one is no key.
    """
    return [public_key(_file(path)) for path in files]


def at_hand(files: Sequence[Path]) -> list[Signer]:
    """What signs with those of these keys whose private halves are here."""
    found = []
    for path in files:
        try:
            found.append(signer_of(_file(path)))
        except InputError:  # of those that are missing, the role says how many it takes
            continue
    return found


def _file(path: Path) -> Path:
    """Of a key; its ending may be left out."""
    longer = path.with_name(f"{path.name}{KEY}")
    return longer if not path.exists() and longer.exists() else path
