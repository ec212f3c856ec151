"""What came on a topic, read and bounded: nothing that a device says may be more than the tables have room for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from edgemill_core.ledger import Header, Record
from edgemill_link import topics
from edgemill_link.messages import Batch, MessageError, Presence

MOST_BYTES = 256_000
"""Of one message; what a box sends aims at ``messages.BATCH_BYTES``."""
MOST_FACTS = 64_000
_MOST_DEEP = 32
"""Facts within facts; what goes deeper, REST could not tell, of this device or any list that it stands in."""
_MOST_INTEGER = (1 << 63) - 1
_WORDS = {"station": 64, "decision": 16, "boot": 64, "digest": 64}


@dataclass(frozen=True)
class Facts:
    """What a device is and runs, as it says."""

    told: dict[str, Any]


@dataclass(frozen=True)
class Message:
    """Something that a device said.

    Attributes:
        patient_until_s: until then a batch that does not follow on what is here waits for the one before it.
    """

    device: str
    said: Batch | Presence | Facts
    patient_until_s: float = 0.0


def read_message(topic: str, payload: bytes, patient_until_s: float = 0.0) -> Message:
    """What came.

    Raises:
        MessageError: it is not what this topic carries, or more than we take.
    """
    if len(payload) > MOST_BYTES:
        raise MessageError(f"{len(payload):,} bytes on {topic[:100]}, where {MOST_BYTES:,} are the most")
    try:
        device = topics.device_of(topic)
    except IndexError as error:
        raise MessageError(f"nothing is said on {topic[:100]}") from error
    if topic == topics.records(device):
        batch = Batch.decode(payload)
        _check(_too_much_of(batch))
        _check_anchor(batch)
        return Message(device, batch, patient_until_s)
    if topic == topics.online(device):
        presence = Presence.decode(payload)
        _check([*_too_long("ledger", presence.ledger, 64), *_too_big("acknowledged", presence.acknowledged)])
        return Message(device, presence)
    if topic == topics.facts(device):
        return Message(device, _facts(payload))
    raise MessageError(f"nothing is said on {topic[:100]}")


def _facts(payload: bytes) -> Facts:
    if len(payload) > MOST_FACTS:
        raise MessageError(f"{len(payload):,} bytes of facts, where {MOST_FACTS:,} are the most")
    try:
        told = json.loads(payload)
        json.dumps(told, ensure_ascii=False, allow_nan=False).encode()  # as REST will tell it
    except (ValueError, RecursionError) as error:
        raise MessageError(f"not facts: {type(error).__name__}: {error}") from error
    if not isinstance(told, dict):
        raise MessageError("not facts: no object")
    if _too_deep(told):
        raise MessageError(f"facts nested deeper than {_MOST_DEEP}")
    return Facts(told)


def _too_deep(told: object) -> bool:
    level = [told]
    for _ in range(_MOST_DEEP):
        level = [one for inside in level for one in _parts(inside)]
    return bool(level)


def _parts(told: object) -> Iterable[object]:
    if isinstance(told, dict):
        return told.values()
    return told if isinstance(told, list) else ()


def _check_anchor(batch: Batch) -> None:
    try:
        if batch.anchor is not None:
            batch.anchor.statement()
    except ValueError as error:
        raise MessageError(f"an anchor that cannot be kept: {error}") from error


def _check(faults: list[str]) -> None:
    if faults:
        raise MessageError(f"more than is taken: {faults[0]}")


def _too_much_of(batch: Batch) -> list[str]:
    found = [*_too_long("ledger", batch.ledger, 64), *_too_big("after", batch.after)]
    for record in batch.records:
        found += _too_much_in(record)
    return found


def _too_much_in(record: Record) -> Iterator[str]:
    header: Header = record.header
    for name in ("position", "number", "utc_ns", "monotonic_ns"):
        yield from _too_big(name, getattr(header, name))
    for name, most in _WORDS.items():
        yield from _too_long(name, getattr(header, name), most)
    yield from _too_long("link", record.link, 64)


def _too_big(name: str, number: int) -> Iterator[str]:
    if not 0 <= number <= _MOST_INTEGER:
        yield f"{name} {str(number)[:40]}"


def _too_long(name: str, word: str, most: int) -> Iterator[str]:
    # NUL is no character to PostgreSQL, and half of a surrogate pair none to UTF-8.
    if len(word) > most or "\0" in word or not (word.isascii() or _is_text(word)):
        yield f"{name} {word[:40]!r}"


def _is_text(word: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in word)
