"""Topics under which box and consumer talk. ``1`` is the version of what is said there."""

from __future__ import annotations

ROOT = "edgemill/1"
EVERY = "+"
"""Stands for every device, where one subscribes."""


def records(device: str) -> str:
    """Batches of ledger records, box to consumer, QoS 1."""
    return f"{ROOT}/{device}/records"


def acknowledgement(device: str) -> str:
    """What the consumer has, consumer to box, QoS 1, retained."""
    return f"{ROOT}/{device}/ack"


def facts(device: str) -> str:
    """What the box is and runs, QoS 1, retained."""
    return f"{ROOT}/{device}/facts"


def online(device: str) -> str:
    """``Presence``, offline as the last will; QoS 1, retained."""
    return f"{ROOT}/{device}/online"


def shared(topic: str, group: str) -> str:
    """To subscribe ``topic`` as one of ``group``: each message goes to one of them (MQTT 5, 4.8.2)."""
    return f"$share/{group}/{topic}"


def device_of(topic: str) -> str:
    """The device that ``topic`` is about."""
    return topic.split("/")[2]
