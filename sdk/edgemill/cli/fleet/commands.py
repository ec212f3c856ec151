"""``edgemill fleet``: names, options and help; what is done stands beside this."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

fleet = typer.Typer(
    help="The fleet manager: let boxes in, roll releases out, watch.", no_args_is_help=True, rich_markup_mode=None
)
token = typer.Typer(help="Who may do what.", no_args_is_help=True, rich_markup_mode=None)
devices = typer.Typer(help="Boxes.", no_args_is_help=True, rich_markup_mode=None)
releases = typer.Typer(help="What may go to boxes.", no_args_is_help=True, rich_markup_mode=None)
rollouts = typer.Typer(help="A release's way through the fleet.", no_args_is_help=True, rich_markup_mode=None)
fleet.add_typer(token, name="token")
fleet.add_typer(devices, name="devices")
fleet.add_typer(releases, name="releases")
fleet.add_typer(rollouts, name="rollouts")

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
_Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The fleet's folder.")]
_Access = Annotated[
    Path | None,
    typer.Option("--access", help="Access file; $EDGEMILL_FLEET_ACCESS, or ~/.config/edgemill/fleet.yaml if not said."),
]
_Device = Annotated[str, typer.Argument(metavar="DEVICE", help="device: id: of its agent.yaml.")]
_Release = Annotated[str, typer.Argument(metavar="NAME/VERSION", help="The release.")]
_Rollout = Annotated[int, typer.Argument(metavar="ROLLOUT", help="Its number.", min=1)]
_Why = Annotated[str, typer.Option("--why", help="In words, for the others.")]
_Group = Annotated[str | None, typer.Option("--group", help="Only of this group.")]


class RoleName(str, Enum):
    """What somebody may do."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    RELEASER = "releaser"
    ADMIN = "admin"


@fleet.command("init")
def init(
    folder: _Folder,
    name: Annotated[str, typer.Option("--name", help="Of the fleet.")] = "fleet",
    url: Annotated[
        str, typer.Option("--url", help="Under which boxes and people reach it.")
    ] = "https://127.0.0.1:8443",
    listen: Annotated[str, typer.Option("--listen", help="ADDRESS:PORT of this machine.")] = "127.0.0.1:8443",
    broker: Annotated[str, typer.Option("--broker", help="mqtts://HOST:PORT as boxes reach it.")] = "",
    bring: Annotated[
        bool, typer.Option("--bring-releases", help="Make no releases and keys of theirs: they are brought.")
    ] = False,
    json: _Json = False,
) -> None:
    """Make a fleet: settings, a CA, an empty folder of releases and its keys, and the first admin's way in."""
    from edgemill.cli.fleet.serving import init as run

    run(folder, {"name": name, "url": url, "listen": listen, "broker": broker}, not bring, json)


@fleet.command("serve")
def serve(
    folder: _Folder,
    listen: Annotated[str | None, typer.Option("--listen", help="ADDRESS:PORT instead of fleet.yaml's.")] = None,
    json: _Json = False,
) -> None:
    """Serve a fleet until SIGTERM or Ctrl-C: answer requests, take in telemetry, move rollouts on."""
    from edgemill.cli.fleet.serving import run

    run(folder, listen, json)


@fleet.command("backup")
def backup(
    folder: _Folder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder, on another disk.")],
    json: _Json = False,
) -> None:
    """Copy settings, keys and database, while it is served or not; the copy is a fleet's folder without releases."""
    from edgemill.cli.fleet.serving import backup as run

    run(folder, out, json)


@fleet.command("broker-config")
def broker_config(
    folder: _Folder,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for it; FOLDER/broker if not said.")] = None,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="For boxes.")] = 8883,
    at: Annotated[str, typer.Option("--at", help="Address of this machine, for boxes.")] = "0.0.0.0",  # noqa: S104
    intake_port: Annotated[int, typer.Option("--intake-port", min=1, max=65535, help="For `serve` itself.")] = 8884,
    intake_at: Annotated[str, typer.Option("--intake-at", help="Address, likewise.")] = "127.0.0.1",
    user: Annotated[str | None, typer.Option("--user", help="That the broker runs as.")] = None,
    reload: Annotated[
        Path | None, typer.Option("--reload", metavar="PIDFILE", help="Have it read its files again if one changed.")
    ] = None,
    json: _Json = False,
) -> None:
    """Write what a mosquitto needs so that a box speaks for itself alone, and no one that was shut out gets in."""
    from edgemill.cli.fleet.broker import run
    from edgemill_fleet.broker.mosquitto import Ports

    run(folder, out, Ports(port, intake_port, at, intake_at), user, reload, json)


@fleet.command("enrol")
def enrol(
    device: _Device,
    site: Annotated[str, typer.Option("--site", help="Where it stands.")] = "",
    group: Annotated[str, typer.Option("--group", help="For waves.")] = "",
    tag: Annotated[list[str] | None, typer.Option("--tag", help="A word; again for each.")] = None,
    hours: Annotated[float, typer.Option("--hours", min=0.1, max=720, help="The code holds so long.")] = 24,
    access: _Access = None,
    json: _Json = False,
) -> None:
    """Make a code that lets one box in, once."""
    from edgemill.cli.fleet.devices import enrol as run
    from edgemill.cli.fleet.rest import open_fleet

    content = {"device": device, "site": site, "group": group, "tags": tag or [], "hours": hours}
    run(open_fleet(access), content, json)


@fleet.command("codes")
def codes(
    end: Annotated[str | None, typer.Option("--end", metavar="ID", help="Let nobody in by this one any more.")] = None,
    access: _Access = None,
    json: _Json = False,
) -> None:
    """List codes that were made; what a code says is kept nowhere."""
    from edgemill.cli.fleet.devices import codes as run
    from edgemill.cli.fleet.rest import open_fleet

    run(open_fleet(access), end, json)


@fleet.command("me")
def me(access: _Access = None, json: _Json = False) -> None:
    """Say who the access file makes you, and where."""
    from edgemill.cli.fleet.people import me as run
    from edgemill.cli.fleet.rest import open_fleet

    run(open_fleet(access), json)


@fleet.command("audit")
def audit(
    last: Annotated[int, typer.Option("--last", min=1, max=1000, help="The newest so many.")] = 50,
    access: _Access = None,
    json: _Json = False,
) -> None:
    """Say who did what, the newest first."""
    from edgemill.cli.fleet.people import audit as run
    from edgemill.cli.fleet.rest import open_fleet

    run(open_fleet(access), last, json)


@token.command("add")
def token_add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who; stands in the audit log.")],
    role: Annotated[RoleName, typer.Option("--role", help="What they may do.")],
    out: Annotated[Path, typer.Option("--out", help="The access file to write.")],
    here: Annotated[
        Path | None, typer.Option("--here", metavar="FOLDER", help="The fleet's folder, instead of asking the server.")
    ] = None,
    access: _Access = None,
    json: _Json = False,
) -> None:
    """Let somebody in: writes an access file with address, CA and token."""
    from edgemill.cli.fleet.people import add

    add(access, here, name, role.value, out, json)


@token.command("ls")
def token_ls(access: _Access = None, json: _Json = False) -> None:
    """List who can get in."""
    from edgemill.cli.fleet.people import ls
    from edgemill.cli.fleet.rest import open_fleet

    ls(open_fleet(access), json)


@token.command("revoke")
def token_revoke(name: Annotated[str, typer.Argument(metavar="NAME", help="Whose.")], access: _Access = None) -> None:
    """Let somebody in no more."""
    from edgemill.cli.fleet.people import revoke
    from edgemill.cli.fleet.rest import open_fleet

    revoke(open_fleet(access), name)


@devices.command("ls")
def devices_ls(
    group: _Group = None,
    site: Annotated[str | None, typer.Option("--site", help="Only there.")] = None,
    access: _Access = None,
    json: _Json = False,
) -> None:
    """List boxes."""
    from edgemill.cli.fleet.devices import ls
    from edgemill.cli.fleet.rest import open_fleet

    ls(open_fleet(access), group, site, json)


@devices.command("show")
def devices_show(device: _Device, access: _Access = None, json: _Json = False) -> None:
    """Show one box, with all that it tells of itself."""
    from edgemill.cli.fleet.devices import show
    from edgemill.cli.fleet.rest import open_fleet

    show(open_fleet(access), device, json)


@devices.command("change")
def devices_change(
    device: _Device,
    site: Annotated[str | None, typer.Option("--site", help="Where it stands.")] = None,
    group: Annotated[str | None, typer.Option("--group", help="For waves.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="All its tags from now on; again for each.")] = None,
    access: _Access = None,
    json: _Json = False,
) -> None:
    """Say where a box belongs."""
    from edgemill.cli.fleet.devices import change
    from edgemill.cli.fleet.rest import open_fleet

    change(open_fleet(access), device, site, group, tag, json)


@devices.command("revoke")
def devices_revoke(device: _Device, access: _Access = None, json: _Json = False) -> None:
    """Shut a box out: at the server at once, at the broker when it reads the new crl.pem."""
    from edgemill.cli.fleet.devices import revoke
    from edgemill.cli.fleet.rest import open_fleet

    revoke(open_fleet(access), device, json)


@releases.command("ls")
def releases_ls(access: _Access = None, json: _Json = False) -> None:
    """List releases, and who stands behind them."""
    from edgemill.cli.fleet.releases import ls
    from edgemill.cli.fleet.rest import open_fleet

    ls(open_fleet(access), json)


@releases.command("propose")
def releases_propose(release: _Release, access: _Access = None, json: _Json = False) -> None:
    """Say that a release should go to boxes; another approves it."""
    from edgemill.cli.fleet.releases import propose
    from edgemill.cli.fleet.rest import open_fleet

    propose(open_fleet(access), release, json)


@releases.command("approve")
def releases_approve(release: _Release, access: _Access = None, json: _Json = False) -> None:
    """Approve what another proposed."""
    from edgemill.cli.fleet.releases import approve
    from edgemill.cli.fleet.rest import open_fleet

    approve(open_fleet(access), release, json)


@rollouts.command("ls")
def rollouts_ls(
    course: Annotated[str | None, typer.Option("--course", help="draft, running, stopped, …")] = None,
    access: _Access = None,
    json: _Json = False,
) -> None:
    """List rollouts, the newest first."""
    from edgemill.cli.fleet.rest import open_fleet
    from edgemill.cli.fleet.rollouts import ls

    ls(open_fleet(access), course, json)


@rollouts.command("show")
def rollouts_show(rollout: _Rollout, access: _Access = None, json: _Json = False) -> None:
    """Show one, and each of its devices."""
    from edgemill.cli.fleet.rest import open_fleet
    from edgemill.cli.fleet.rollouts import show

    show(open_fleet(access), rollout, json)


@rollouts.command("make")
def rollouts_make(
    release: _Release,
    wave: Annotated[
        list[str] | None, typer.Option("--wave", help="10%,success=0.9,soak=30m or group=NAME; again for each.")
    ] = None,
    failures: Annotated[int, typer.Option("--failures", min=0, help="Devices of a wave that may fail.")] = 0,
    silent: Annotated[str, typer.Option("--silent", help="Who says nothing for so long has failed.")] = "1h",
    device: Annotated[list[str] | None, typer.Option("--device", help="Only these, in this order.")] = None,
    group: _Group = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="Only those with it; again for each.")] = None,
    window: Annotated[
        list[str] | None, typer.Option("--window", help="22:00-04:00@Europe/Berlin, in which boxes may be asked.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", help="All of it as YAML instead.")] = None,
    access: _Access = None,
    json: _Json = False,
) -> None:
    """Propose a rollout of an approved release; another approves it."""
    from edgemill.cli.fleet.rest import open_fleet
    from edgemill.cli.fleet.rollouts import Asked, make

    asked = Asked(release, wave or (), failures, silent, device or (), group, tag or (), window or (), file)
    make(open_fleet(access), asked, json)


@rollouts.command("approve")
def rollouts_approve(rollout: _Rollout, access: _Access = None, json: _Json = False) -> None:
    """Let one begin that another proposed."""
    from edgemill.cli.fleet.rest import open_fleet
    from edgemill.cli.fleet.rollouts import turn

    turn(open_fleet(access), rollout, "approve", json)


@rollouts.command("pause")
def rollouts_pause(rollout: _Rollout, why: _Why = "", access: _Access = None, json: _Json = False) -> None:
    """Ask nobody new until it is resumed."""
    from edgemill.cli.fleet.rest import open_fleet
    from edgemill.cli.fleet.rollouts import turn

    turn(open_fleet(access), rollout, "pause", json, why=why)


@rollouts.command("resume")
def rollouts_resume(
    rollout: _Rollout,
    again: Annotated[
        bool, typer.Option("--again", help="Ask those once more that failed; else they are left out.")
    ] = False,
    why: _Why = "",
    access: _Access = None,
    json: _Json = False,
) -> None:
    """Let it go on, behind a pause or a stop."""
    from edgemill.cli.fleet.rest import open_fleet
    from edgemill.cli.fleet.rollouts import turn

    turn(open_fleet(access), rollout, "resume", json, why=why, again=again)


@rollouts.command("abort")
def rollouts_abort(
    rollout: _Rollout,
    back: Annotated[bool, typer.Option("--back", help="Those too that took it go back to what they had.")] = False,
    why: _Why = "",
    access: _Access = None,
    json: _Json = False,
) -> None:
    """End it; devices that have not taken the release are asked for what they had before."""
    from edgemill.cli.fleet.rest import open_fleet
    from edgemill.cli.fleet.rollouts import turn

    turn(open_fleet(access), rollout, "abort", json, why=why, back=back)


@rollouts.command("watch")
def rollouts_watch(
    rollout: _Rollout,
    limit: Annotated[float | None, typer.Option("--limit", min=0, help="Seconds, at most.")] = None,
    access: _Access = None,
    json: _Json = False,
) -> None:
    """Follow one until it is done, stopped or aborted; exit code 1 unless it is done."""
    from edgemill.cli.fleet.rest import open_fleet
    from edgemill.cli.fleet.rollouts import watch

    watch(open_fleet(access), rollout, limit, json)
