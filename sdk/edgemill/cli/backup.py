"""``edgemill agent backup`` and ``restore``."""

from __future__ import annotations

import getpass
import os
import sys
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from edgemill.cli.output import print_json, print_line, progress
from edgemill_agent.backup.making import make_backup
from edgemill_agent.backup.restoring import Place
from edgemill_agent.backup.restoring import restore as put_back
from edgemill_agent.processes.priority import LINK, stand_back
from edgemill_agent.settings import read_settings
from edgemill_core.errors import InputError

_ENVIRONMENT = "EDGEMILL_PASSPHRASE"


@dataclass(frozen=True)
class Given:
    """What was said of a restore.

    Attributes:
        settings: ``agent.yaml`` of this box; or
        into: a state folder.
        replace: put aside what is there.
        numbers_from: the first number.
        passphrase: file that holds it.
        plain: the file is not encrypted.
    """

    settings: Path | None
    into: Path | None
    replace: bool
    numbers_from: int | None
    passphrase: Path | None
    plain: bool


def backup(yaml: Path, file: Path, bundles: bool, plain: bool, passphrase: Path | None, json: bool) -> None:
    """Write one file, while the agent runs."""
    settings = read_settings(yaml, "names")
    secret = None if plain else _passphrase(passphrase, twice=True)
    stand_back(LINK)  # the line has more pressing work
    with progress() as tell:
        made = make_backup(yaml, settings, file, secret, bundles, tell)
    if json:
        print_json({"file": str(file), **asdict(made), "encrypted": not plain})
        return
    print_line(f"{file}  {made.bytes:,} bytes, {made.files} files{'' if bundles else ', no bundles'}")
    if plain:
        print_line("it is NOT encrypted, and whoever has it has the private key of this box")


def restore(file: Path, given: Given, json: bool) -> None:
    """Put it in the state folder's place, and say what is left to do."""
    place = _place(given)
    secret = None if given.plain else _passphrase(given.passphrase, twice=False)
    with progress() as tell:
        tell("reading and checking it")
        done = put_back(file, place, secret, given.numbers_from)
    if json:
        aside = str(done.aside) if done.aside else None
        print_json({"state": str(place.state), **asdict(done), "aside": aside})
        return
    made = datetime.fromtimestamp(done.made, timezone.utc)
    print_line(f"{place.state}  is {done.device} as it was on {made:%Y-%m-%d %H:%M} UTC")
    print_line(f"numbers go on from {done.numbers_from}; what was judged since the backup only the consumer has")
    if done.aside is not None:
        print_line(f"what was there before lies in {done.aside}")
    for here, was in done.named.items():
        print_line(f"  {here}  was {was}")
    if not done.bundles:
        print_line("to do: edgemill agent update agent.yaml  (bundles did not come with it, and are proved here)")


def _place(given: Given) -> Place:
    if (given.settings is None) == (given.into is None):
        raise InputError(
            "it is not said where the backup goes",
            expected="either agent.yaml, or --into with a state folder",
            got="neither" if given.settings is None else "both",
            fix="name agent.yaml of this box; or --into STATE, to have the settings of the backup too",
        )
    if given.into is not None:
        return Place(given.into, None, given.replace)
    assert given.settings is not None
    settings = read_settings(given.settings, "names")
    return Place(settings.state, settings.device.id, given.replace)


def _passphrase(file: Path | None, twice: bool) -> str:
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise _no_passphrase(str(error)) from error
    if told := os.environ.get(_ENVIRONMENT):
        return told
    if not sys.stdin.isatty():
        raise _no_passphrase("no terminal to ask at")
    said = getpass.getpass("passphrase of the backup: ")
    if twice and getpass.getpass("once more: ") != said:
        raise _no_passphrase("two different ones")
    return said


def _no_passphrase(got: str) -> InputError:
    return InputError(
        "there is no passphrase for the backup",
        expected=f"--passphrase-file, {_ENVIRONMENT}, or somebody who types it; or --plain",
        got=got,
        fix="keep it where the backups are not; without it nothing of them can be read",
    )
