"""``edgemill release``: names, options and help; what is done stands beside this."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

release = typer.Typer(
    help="Say what boxes may install and run, and sign for it.", no_args_is_help=True, rich_markup_mode=None
)

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
_Repo = Annotated[Path, typer.Argument(metavar="REPO", help="The folder of releases.")]
_Keys = Annotated[list[Path], typer.Option("--key", help="NAME.key.json of a key that signs; again for each.")]
_Trust = Annotated[
    Path | None, typer.Option("--trust", help="A root.json that REPO must go back to; say it where others may write.")
]
_MaybeKey = Annotated[list[Path] | None, typer.Option(help="Who has this role from now on; as before if not said.")]


@release.command("key")
def key(
    name: Annotated[Path, typer.Argument(metavar="FOLDER/NAME", help="Where NAME.key.json is to lie.")],
    token: Annotated[int | None, typer.Option("--token", help="Id of a key in a PKCS#11 token (PIV: 2).")] = None,
    json: _Json = False,
) -> None:
    """Make a key, or write down where one in a token is."""
    from edgemill.cli.releases.key_files import run

    run(name, token, json)


@release.command("init")
def init(
    repo: _Repo,
    root: Annotated[list[Path], typer.Option("--root", help="A root key, kept offline; again for each.")],
    release_key: Annotated[list[Path], typer.Option("--release", help="A key that signs releases.")],
    online: Annotated[list[Path], typer.Option("--online", help="The key for timestamp and snapshot.")],
    plan: Annotated[list[Path], typer.Option("--plan", help="A key that signs plans.")],
    threshold: Annotated[int, typer.Option("--threshold", min=1, help="Root keys that it takes.")] = 1,
    json: _Json = False,
) -> None:
    """Make an empty folder of releases."""
    from edgemill.cli.releases.changing import Named, run_init

    run_init(repo, Named(root, release_key, online, plan, threshold), json)


@release.command("publish")
def publish(
    repo: _Repo,
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle's folder, or a bundle in one file.")],
    keys: _Keys,
    trust: _Trust = None,
    json: _Json = False,
) -> None:
    """Put a bundle into the folder, and sign for it: with a release key and the online key."""
    from edgemill.cli.releases.changing import run_publish
    from edgemill.cli.releases.key_files import open_repository

    run_publish(open_repository(repo, trust), bundle, keys, json)


@release.command("withdraw")
def withdraw(
    repo: _Repo,
    name: Annotated[str, typer.Argument(metavar="NAME/VERSION", help="The release.")],
    keys: _Keys,
    trust: _Trust = None,
    json: _Json = False,
) -> None:
    """Take a release off the list: no box begins with it any more. What runs goes on."""
    from edgemill.cli.releases.changing import run_withdraw
    from edgemill.cli.releases.key_files import open_repository

    run_withdraw(open_repository(repo, trust), name, keys, json)


@release.command("sign")
def sign(repo: _Repo, keys: _Keys, trust: _Trust = None, json: _Json = False) -> None:
    """Let timestamp and snapshot hold for longer; releases and plans too, where a key of theirs is named."""
    from edgemill.cli.releases.changing import run_sign
    from edgemill.cli.releases.key_files import open_repository

    run_sign(open_repository(repo, trust), keys, json)


@release.command("plan")
def plan(
    repo: _Repo,
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="device: id: of its agent.yaml.")],
    releases: Annotated[list[str], typer.Argument(metavar="NAME/VERSION...", help="What it should run.")],
    keys: _Keys,
    days: Annotated[float, typer.Option("--days", min=0.01, max=3650, help="It may be begun with so long.")] = 30,
    version: Annotated[int, typer.Option("--version", min=1, help="At least; counted up if not said.")] = 1,
    trust: _Trust = None,
    json: _Json = False,
) -> None:
    """Say what one device should run, and sign for it with the plan key."""
    from edgemill.cli.releases.changing import run_plan
    from edgemill.cli.releases.key_files import open_repository

    run_plan(open_repository(repo, trust), device, releases, keys, (days, version), json)


@release.command("rotate")
def rotate(
    repo: _Repo,
    keys: _Keys,
    root: _MaybeKey = None,
    release_key: Annotated[list[Path] | None, typer.Option("--release", help="Likewise.")] = None,
    online: _MaybeKey = None,
    plan: _MaybeKey = None,
    threshold: Annotated[int | None, typer.Option("--threshold", min=1, help="Root keys that it takes.")] = None,
    trust: _Trust = None,
    json: _Json = False,
) -> None:
    """Replace keys, and let root and targets hold for longer: with enough of the old and of the new root keys."""
    from edgemill.cli.releases.changing import Named, run_rotate
    from edgemill.cli.releases.key_files import open_repository

    run_rotate(open_repository(repo, trust), Named(root, release_key, online, plan, threshold), keys, json)


@release.command("ls")
def ls(repo: _Repo, trust: _Trust = None, json: _Json = False) -> None:
    """List releases, roles and plans; exit code 1 where boxes stand still because something has expired."""
    from edgemill.cli.releases.key_files import open_repository
    from edgemill.cli.releases.listing import run

    run(open_repository(repo, trust), json)


@release.command("export")
def export(
    repo: _Repo,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="On a stick, say; goes on where it was broken off.")],
    releases: Annotated[list[str] | None, typer.Argument(metavar="[NAME/VERSION...]", help="All if not said.")] = None,
    trust: _Trust = None,
    json: _Json = False,
) -> None:
    """Copy releases and plans for boxes without a network; every file is read back."""
    from edgemill.cli.releases.carrying import run
    from edgemill.cli.releases.key_files import open_repository

    run(open_repository(repo, trust), folder, releases or (), json)
