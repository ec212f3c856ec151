"""Messages survive the wire, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from edgemill_core.ledger import GENESIS, Header, Kind, Payload, Record
from edgemill_link.broker_settings import BrokerSettings
from edgemill_link.messages import BATCH_BYTES, Acknowledgement, Batch, MessageError, Presence, first_batch


def record(position: int, size: int = 10) -> Record:
    payload = Payload(bytes(16), b'"' + b"x" * size + b'"')
    return Record(Header(position, position, Kind.VERDICT, "s", "pass", 1, "b", 1, payload.digest), "f" * 64, payload)


def test_a_batch_survives_the_wire() -> None:
    batch = Batch("id", 4, GENESIS, (record(5), Record(record(6).header, "a" * 64, None)))
    assert Batch.decode(batch.encode()) == batch


def test_an_acknowledgement_survives_the_wire() -> None:
    said = Acknowledgement("id", 7, "c" * 64, again=True)
    assert Acknowledgement.decode(said.encode()) == said


@pytest.mark.parametrize(
    "message",
    [b"", b"[]", b"{}", b"\xff", b'{"ledger": "a", "after": 0, "previous": "", "records": []}', b'{"records": [1]}'],
)
def test_what_is_no_batch_is_refused(message: bytes) -> None:
    with pytest.raises(MessageError):
        Batch.decode(message)


def test_a_presence_survives_the_wire() -> None:
    assert Presence.decode(Presence(True, "id", 9).encode()) == Presence(True, "id", 9)
    with pytest.raises(MessageError):
        Presence.decode(b"{}")


@pytest.mark.parametrize("message", [b"", b"[]", b"{}", b'{"ledger": "a", "position": "x", "link": ""}'])
def test_what_is_no_acknowledgement_is_refused(message: bytes) -> None:
    with pytest.raises(MessageError):
        Acknowledgement.decode(message)


def test_a_batch_takes_what_fits_and_at_least_one() -> None:
    assert len(first_batch("id", 0, GENESIS, [record(1, 10**6), record(2)]).records) == 1
    batch = first_batch("id", 0, GENESIS, [record(n, 1000) for n in range(1, 500)])
    assert 1 < len(batch.records) < 499
    assert len(batch.encode()) < BATCH_BYTES


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "http://host"},
        {"url": "mqtt://"},
        {"url": "mqtt://host:0"},
        {"url": "mqtt://host:99999"},
        {"url": "mqtt://host/topic"},
        {"url": "mqtt://user:secret@host"},
        {"url": "mqtts://host", "certificate": "a.pem"},
        {"url": "mqtt://host", "ca": "a.pem"},
    ],
)
def test_a_broker_that_cannot_be_meant_is_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        BrokerSettings.model_validate(settings)


def test_ports_are_the_standard_ones() -> None:
    assert BrokerSettings(url="mqtt://host").port == 1883
    assert BrokerSettings(url="mqtts://host").port == 8883
    assert BrokerSettings(url="mqtt://[::1]:77").host == "::1"
