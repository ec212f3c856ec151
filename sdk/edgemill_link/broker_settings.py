"""Where the broker is and how to be let in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from edgemill_core.errors import InputError
from edgemill_core.validation import first_complaint

_PORTS = {"mqtt": 1883, "mqtts": 8883}


class BrokerSettings(BaseModel):
    """An MQTT 5 broker.

    Attributes:
        url: ``mqtt://host[:port]``, or ``mqtts://`` for TLS.
        ca: PEM file of the authorities to trust; the system's own if not said.
        certificate: PEM file of the client's certificate.
        key: PEM file of its private key.
        username: for brokers that want one.
        password_file: file that holds the password; never in the settings themselves.
        keepalive_s: seconds without traffic after which the connection is tried.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    username: str | None = None
    password_file: Path | None = None
    keepalive_s: Annotated[int, Field(ge=5, le=3600)] = 30

    @field_validator("url")
    @classmethod
    def _is_mqtt(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/"):
            raise ValueError("a broker is mqtt://HOST[:PORT], or mqtts://HOST[:PORT] for TLS")
        if parts.username or parts.password:
            raise ValueError("no password in the URL: use username and password_file")
        if parts.port == 0:
            raise ValueError("port 0 is none")
        return url

    @model_validator(mode="after")
    def _certificate_fits(self) -> BrokerSettings:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        if (self.ca or self.certificate) and not self.tls:
            raise ValueError("certificates need mqtts://")
        return self

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return urlsplit(self.url).scheme == "mqtts"

    @property
    def host(self) -> str:
        """Name or address."""
        return str(urlsplit(self.url).hostname)

    @property
    def port(self) -> int:
        """As in the URL, else the standard one."""
        return urlsplit(self.url).port or _PORTS[urlsplit(self.url).scheme]


def broker_at(url: str) -> BrokerSettings:
    """Settings of the broker that a command line names.

    Raises:
        InputError: this is no address of one.
    """
    try:
        return BrokerSettings(url=url)
    except ValidationError as error:
        _, expected, got = first_complaint(error)
        raise InputError(
            "this is no address of a broker", expected=expected, got=got, fix="mend what stands behind --broker"
        ) from error
