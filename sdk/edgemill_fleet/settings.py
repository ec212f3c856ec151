"""``fleet.yaml``, and where everything lies in the fleet's folder.

::

    fleet.yaml   these settings
    fleet.db     the database, unless `database:` names another
    releases/    what boxes may install, signed (``edgemill_fleet.releases``)
    keys/        of the fleet's own CA; of plans and timestamp; of this server
    ca.pem       certificate of the CA, for whoever is to trust this server
    crl.pem      certificates that do not count any more, for the broker
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator

from edgemill_core.errors import SettingsError
from edgemill_core.validation import Strict, first_complaint
from edgemill_core.yaml_lines import line_of, read_yaml
from edgemill_link.broker_settings import BrokerSettings

SETTINGS = "fleet.yaml"


class Readers(str, Enum):
    """Who may read the folder of releases."""

    DEVICES = "devices"
    """Boxes, by their certificates, and people, by their tokens."""
    ALL = "all"
    """Everybody, as with any static file server: what is in it is signed, but not secret."""


class ManagerSettings(Strict):
    """``fleet.yaml``.

    Attributes:
        name: of the fleet; stands in its CA's certificate.
        url: under which boxes and people reach it.
        listen: address and port of this machine.
        tls: false where a proxy in front does it; then nobody is known by a certificate here.
        names: further names and addresses that the server's certificate holds for.
        database: SQLAlchemy's URL; SQLite in this folder if not said.
        mqtt: the broker, as this machine reaches it; an embedded one, to try things out, if not said.
        broker: its address as boxes reach it, told to them when they enrol.
        releases: who may read them.
        second_person: what one proposes another has to approve.
        certificate_days: for which a box's certificate holds.
        way_back_days: after its end in which it can still be renewed.
        workers: processes that answer requests.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")] = "fleet"
    url: str = "https://127.0.0.1:8443"
    listen: Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9_.-]+):\d{1,5}$")] = "127.0.0.1:8443"
    tls: bool = True
    names: tuple[str, ...] = ()
    database: str = ""
    mqtt: BrokerSettings | None = None
    broker: str = ""
    releases: Readers = Readers.DEVICES
    second_person: bool = True
    certificate_days: Annotated[float, Field(gt=0, le=3650)] = 90
    way_back_days: Annotated[float, Field(ge=0, le=3650)] = 365
    workers: Annotated[int, Field(ge=1, le=64)] = 1

    @field_validator("url")
    @classmethod
    def _is_https(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.username or parts.query or parts.fragment:
            raise ValueError("the fleet is https://HOST[:PORT]")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _readers_can_be_known(self) -> ManagerSettings:
        if not self.tls and self.releases is Readers.DEVICES:
            raise ValueError("without tls: no box is known here; say releases: all, and let the proxy see who reads")
        return self

    @property
    def host(self) -> str:
        """To listen at."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """Likewise; 0 takes a free one."""
        return int(self.listen.rpartition(":")[2])

    @property
    def server_names(self) -> tuple[str, ...]:
        """All that the server's certificate is to hold for."""
        named = (str(urlsplit(self.url).hostname), *self.names)
        return tuple(dict.fromkeys(named))


@dataclass(frozen=True)
class FleetFolder:
    """The fleet's folder, and what it says."""

    path: Path
    settings: ManagerSettings

    @property
    def database_url(self) -> str:
        """For SQLAlchemy."""
        return self.settings.database or f"sqlite:///{(self.path / 'fleet.db').absolute()}"

    @property
    def releases(self) -> Path:
        """What boxes read."""
        return self.path / "releases"

    @property
    def keys(self) -> Path:
        """For its owner alone."""
        return self.path / "keys"


def open_folder(path: Path) -> FleetFolder:
    """Read the settings of a fleet.

    Raises:
        SettingsError: there are none, or they ask for something that does not exist.
    """
    file = path / SETTINGS
    told, lines = read_yaml(file, "fleet", SettingsError)
    try:
        settings = ManagerSettings.model_validate(told)
    except ValidationError as error:
        where, expected, got = first_complaint(error)
        line = line_of(lines, where)
        raise SettingsError(
            f"{file}{f', line {line}' if line else ''}: {where}",
            expected=expected,
            got=got,
            fix="see docs/guide/fleet.md for every key",
        ) from error
    return FleetFolder(path, _from_here(settings, path))


def _from_here(settings: ManagerSettings, path: Path) -> ManagerSettings:
    """Files of ``mqtt:`` that are named without a slash in front lie in the fleet's folder."""
    if settings.mqtt is None:
        return settings
    names = ("ca", "certificate", "key", "password_file")
    files = {name: path / file for name in names if (file := getattr(settings.mqtt, name)) is not None}
    return settings.model_copy(update={"mqtt": settings.mqtt.model_copy(update=files)})
