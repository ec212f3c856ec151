"""The configuration of a mosquitto (2.0 or later). Pure: what is known comes in, texts come out.

Rules
- Nobody gets in without a certificate of the fleet's CA. Who it is stands in the certificate, and nowhere else.
- A box may write its own records, facts and presence, and read its own acknowledgements: nothing of any other box's.
- At the boxes' port the client id is the name in the certificate, too: else a box that says another's client id would
  throw that one out. At the intakes' port it is not, because several intakes show one certificate.
- Nothing is kept over a restart: what is not acknowledged end to end is sent again, and what is retained is said anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgemill_fleet.identity.server_files import INTAKE
from edgemill_link import topics

CONFIGURATION, ACCESS = "mosquitto.conf", "access"
CA, CERTIFICATE, KEY, REVOKED = "ca.pem", "server.pem", "server.key.pem", "crl.pem"
FILES = (CONFIGURATION, ACCESS, CA, CERTIFICATE, KEY, REVOKED)
MOST_BYTES = 1 << 20
_ITSELF = "%u"
"""Stands for the name in the certificate, in mosquitto's own words."""


@dataclass(frozen=True)
class Ports:
    """Where it listens.

    Attributes:
        boxes, intake: ports; the second is for the fleet manager's own machines.
        boxes_at, intake_at: addresses.
    """

    boxes: int = 8883
    intake: int = 8884
    boxes_at: str = "0.0.0.0"  # noqa: S104 (boxes come from elsewhere)
    intake_at: str = "127.0.0.1"


def configuration(folder: Path, ports: Ports, user: str) -> str:
    """``mosquitto.conf``.

    Args:
        folder: where the other files lie, as the broker sees it.
        user: that it runs as when root starts it.
    """
    shared = (
        f"cafile {folder / CA}",
        f"certfile {folder / CERTIFICATE}",
        f"keyfile {folder / KEY}",
        f"crlfile {folder / REVOKED}",
        "tls_version tlsv1.2",
        "require_certificate true",
        "use_identity_as_username true",
    )
    lines = (
        "# Written by `edgemill fleet broker-config`; written over the next time.",
        f"user {user}",
        "per_listener_settings false",
        "allow_anonymous false",
        f"acl_file {folder / ACCESS}",
        "persistence false",
        f"max_packet_size {MOST_BYTES}",
        "",
        f"listener {ports.boxes} {ports.boxes_at}",
        *shared,
        "use_username_as_clientid true",
        "",
        f"listener {ports.intake} {ports.intake_at}",
        *shared,
    )
    return "\n".join([*lines, ""])


def access_list(shut_out: Iterable[str]) -> str:
    """Who may what.

    Args:
        shut_out: devices that were revoked. New connections of theirs are refused by the list of revoked certificates;
            one that stands goes on for as long as it likes, and this is what it can do no more.
    """
    blocks = [
        f"user {INTAKE}\ntopic readwrite {topics.ROOT}/#",
        *(f"user {device}\ntopic deny {topics.ROOT}/#" for device in sorted(shut_out)),
        *(f"pattern write {topic(_ITSELF)}" for topic in (topics.records, topics.facts, topics.online)),
        f"pattern read {topics.acknowledgement(_ITSELF)}",
    ]
    return "\n".join(["# Written by `edgemill fleet broker-config`; written over the next time.", *blocks, ""])
