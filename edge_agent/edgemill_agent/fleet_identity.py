"""``fleet: {identity: auto}``: where a box that was let in finds fleet and broker, whom it trusts, what it shows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from edgemill_core.errors import EdgemillError, IdentityError, LinkError, SettingsError
from edgemill_link.broker_settings import BrokerSettings
from edgemill_link.enrolling import renew_if_due
from edgemill_link.enrolment import RELEASES
from edgemill_link.identity import Identity, read_identity

if TYPE_CHECKING:
    from edgemill_agent.settings import AgentSettings, FleetSettings


def identity_of(settings: AgentSettings) -> Identity:
    """What this box got when it was let in.

    Raises:
        IdentityError: it was not, as another device, or the files are damaged.
    """
    found = read_identity(settings.state)
    if found is None:
        raise IdentityError(
            "this box was not let in by any fleet yet",
            expected=f"what `edgemill agent enrol` keeps in {settings.state}",
            got="nothing",
            fix="have a code made (edgemill fleet enrol DEVICE), and say it here: edgemill agent enrol SETTINGS",
        )
    if found.fleet.device != settings.device.id:
        raise IdentityError(
            "this box was let in as another device",
            expected=settings.device.id,
            got=found.fleet.device,
            fix="mend `id:` under `device:`, or enrol with --again",
        )
    return found


def renewed(settings: AgentSettings, now: datetime, tell: Callable[[str], None]) -> EdgemillError | None:
    """Renew the certificate of a box that was let in, if it is time.

    Returns:
        What is wrong with it, if something is: what lies here, or on a stick, is followed all the same.
    """
    if settings.fleet is None or settings.fleet.identity is None:
        return None
    try:
        renew_if_due(identity_of(settings), now, tell)
    except (IdentityError, LinkError) as error:
        return error
    return None


def with_identity(settings: AgentSettings) -> AgentSettings:
    """The settings with what they leave to the identity filled in; what they say themselves counts.

    Raises:
        SettingsError: they leave it to an identity that is not there.
    """
    if settings.fleet is None or settings.fleet.identity is None:
        return settings
    try:
        identity = identity_of(settings)
    except IdentityError as error:
        raise SettingsError(error.what, expected=error.expected, got=error.got, fix=error.fix) from error
    found = {"fleet": _fleet(settings.fleet, identity), "mqtt": _broker(settings.mqtt, identity)}
    return settings.model_copy(update=found)


def _fleet(fleet: FleetSettings, identity: Identity) -> FleetSettings:
    own = {
        "trust": identity.root,
        "url": f"{identity.fleet.url}{RELEASES}",
        "ca": identity.ca,
        "certificate": identity.own,
    }
    return fleet.model_copy(update={name: found for name, found in own.items() if getattr(fleet, name) is None})


def _broker(broker: BrokerSettings | None, identity: Identity) -> BrokerSettings | None:
    """Whoever says for himself how to be let in at the broker is left alone."""
    if broker is None and not identity.fleet.broker:
        return None
    settings = broker or BrokerSettings(url=identity.fleet.broker)
    if not settings.tls or settings.ca or settings.certificate or settings.username:
        return settings
    own = {"ca": identity.ca, "certificate": identity.own, "key": identity.own}
    return settings.model_copy(update=own)
