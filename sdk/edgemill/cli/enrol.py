"""``edgemill agent enrol`` and ``renew``: who this box is, to its fleet."""

from __future__ import annotations

import sys
from pathlib import Path

from edgemill.cli.output import print_json, print_line, progress
from edgemill_agent.fleet_identity import identity_of
from edgemill_agent.settings import AgentSettings, read_written
from edgemill_link.enrolling import enrol, renew, renew_if_due
from edgemill_link.enrolment import read_code
from edgemill_link.identity import Identity, left_of, utc_now


def run(path: Path, text: str, again: bool, json: bool) -> None:
    """Let this box in.

    Args:
        path: ``agent.yaml``; of it only who the device is and where its state lies counts.
        text: the code, or ``-``.
        again: take the place of an identity that it has.
    """
    settings = read_written(path)
    code = read_code(sys.stdin.readline() if text == "-" else text)
    identity = enrol(code, settings.device.id, settings.state, again)
    _say(identity, json)
    if not json and _to_do(settings):
        print_line(f"to do: put into {path}:\n  {_to_do(settings)}")


def run_renew(path: Path, now: bool, json: bool) -> None:
    """Renew the certificate if it is time."""
    identity = identity_of(read_written(path))
    with progress() as tell:
        identity = renew(identity) if now else renew_if_due(identity, utc_now(), tell)
    _say(identity, json)


def _to_do(settings: AgentSettings) -> str:
    """What its settings lack to make use of it; empty if nothing."""
    said = settings.fleet is not None and settings.fleet.identity is not None
    return "" if said else "fleet: {identity: auto}"


def _say(identity: Identity, json: bool) -> None:
    ends = identity.certificate().not_valid_after_utc
    fleet = identity.fleet
    if json:
        days = left_of(identity, utc_now()).total_seconds() / 86_400
        told = {"device": fleet.device, "fleet": fleet.url, "broker": fleet.broker, "folder": str(identity.folder)}
        print_json({**told, "until": ends.isoformat(), "days": round(days, 3)})
        return
    print_line(f"device   {fleet.device}")
    print_line(f"fleet    {fleet.url}")
    print_line(f"broker   {fleet.broker or 'none'}")
    print_line(f"until    {ends:%Y-%m-%d %H:%M} UTC; `agent update` and `renew` renew it in its last third")
    print_line(f"kept in  {identity.folder}")
