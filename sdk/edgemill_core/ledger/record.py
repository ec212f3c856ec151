"""One ledger record: a small header that is chained, and a payload that can go while the chain stays whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from operator import attrgetter
from typing import Any

SALT_BYTES = 16


class Kind(str, Enum):
    """What a record says."""

    VERDICT = "verdict"
    START = "start"
    """A station's engine is ready; the payload names its bundle, by digest, and what it runs on."""
    VOID = "void"
    """Numbers that were reserved and that no verdict was recorded under: the line process ended without closing."""
    LOST = "lost"
    """Verdicts that were given and could not be recorded; the payload counts them."""
    MISSED = "missed"
    """Parts that a controller counted and nobody could judge; the payload says which counts, how many, and why."""
    CLOCK = "clock"
    """The wall clock jumped against the monotonic one; the payload says by how much."""
    METRICS = "metrics"
    """What the box counted and measured since the last such record."""
    SWAP = "swap"
    """A station was to use another engine; the payload says which, what became of it, and why."""
    UPDATE = "update"
    """An update of a release came to an end, to its trial, or looks on; the payload says which, and why."""
    SHADOW = "shadow"
    """What a challenger made of a part that another engine decided; no controller is told of it."""
    HEALTH = "health"
    """A check of the box's health came to another state, or mended something; the payload says which and why."""
    EVIDENCE = "evidence"
    """A frame was kept; the payload names its part, its file and the file's SHA-256."""
    RESTORED = "restored"
    """The ledger goes on from a backup; the payload says under which name it was known, and where numbers go on."""
    EVICTED = "evicted"
    """Payloads or frames that were removed for want of room, or because they were older than was asked for."""


@dataclass(frozen=True)
class Header:
    """What is kept of a record for as long as the retention says.

    Attributes:
        position: place in the chain, from 1, without gaps; the consumer acknowledges it.
        number: of the verdict, given at its trigger; 0 for a record that is no verdict. Unique and rising per
            station, but recorded in the order in which verdicts are ready.
        kind: what the record says.
        station: which station; empty for what concerns the whole box.
        decision: ``pass``, ``reject``, ``uncertain``; empty for what is no verdict.
        utc_ns: the box's wall clock when the record was made, nanoseconds since 1970.
        boot: id of the boot, as the kernel gives it.
        monotonic_ns: nanoseconds of the monotonic clock within ``boot``; only it says how long something took.
        digest: hex SHA-256 over salt and payload.
    """

    position: int
    number: int
    kind: Kind
    station: str
    decision: str
    utc_ns: int
    boot: str
    monotonic_ns: int
    digest: str

    def link(self, previous: str) -> str:
        """Hex SHA-256 that chains this header to ``previous``, the link of the one before."""
        return hashlib.sha256(_LINKED.encode([previous, *_values(self)]).encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return dict(zip(_HEADER_FIELDS, _values(self), strict=True))

    def as_row(self) -> tuple[Any, ...]:
        """The fields in their order, as a database takes them."""
        position, number, kind, *others = _values(self)
        return (position, number, kind.value, *others)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Header:
        """The header that ``as_dict`` gave.

        Raises:
            KeyError, ValueError, TypeError: it is none.
        """
        return cls(
            int(found["position"]),
            int(found["number"]),
            Kind(found["kind"]),
            str(found["station"]),
            str(found["decision"]),
            int(found["utc_ns"]),
            str(found["boot"]),
            int(found["monotonic_ns"]),
            str(found["digest"]),
        )


@dataclass(frozen=True)
class Payload:
    """The body of a record. The salt keeps a short body from being guessed from its digest once it was erased.

    Attributes:
        salt: ``SALT_BYTES`` random bytes.
        body: UTF-8 JSON.
    """

    salt: bytes
    body: bytes

    @property
    def digest(self) -> str:
        """Hex SHA-256 over salt and body."""
        return hashlib.sha256(self.salt + self.body).hexdigest()

    def content(self) -> dict[str, Any]:
        """The body, decoded."""
        decoded: dict[str, Any] = json.loads(self.body)
        return decoded


@dataclass(frozen=True)
class Record:
    """A header with its link, and its payload unless that was evicted."""

    header: Header
    link: str
    payload: Payload | None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form: the header's fields, ``link``, and ``salt`` (hex) and ``body`` (JSON text) if kept."""
        told = {**self.header.as_dict(), "kind": self.header.kind.value, "link": self.link}
        if self.payload is not None:
            told |= {"salt": self.payload.salt.hex(), "body": self.payload.body.decode()}
        return told

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Record:
        """The record that ``as_dict`` gave.

        Raises:
            KeyError, ValueError, TypeError: it is none.
        """
        payload = Payload(bytes.fromhex(found["salt"]), str(found["body"]).encode()) if "body" in found else None
        return cls(Header.from_dict(found), str(found["link"]), payload)

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Record:
        """The record in a database row: the header's fields in their order, link, salt, body (``None`` if evicted).

        Raises:
            ValueError, TypeError: it is none.
        """
        *header, link, salt, body = row
        payload = None if body is None else Payload(_bytes(salt), _bytes(body))
        return cls(Header.from_dict(dict(zip(_HEADER_FIELDS, header, strict=True))), str(link), payload)


_HEADER_FIELDS = tuple(field.name for field in fields(Header))
_values = attrgetter(*_HEADER_FIELDS)
"""All fields in their order; ``dataclasses.astuple`` copies them deeply, and a record is made for every part."""
_LINKED = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True)


def _bytes(found: object) -> bytes:
    return found if isinstance(found, bytes) else str(found).encode()
