"""How points are written in the settings, by kind of controller. No package of a controller is needed to check them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

MODBUS_AREAS = ("coil", "input", "holding", "register")
_WRITEABLE = ("coil", "holding")
_NODE = re.compile(r"(ns=\d+;)?(i=\d+|[sgb]=.+)")


def modbus_point(text: str) -> tuple[str, int]:
    """``"coil 4"`` as area and address: coil, input (discrete), holding, register (input); addresses from 0.

    Raises:
        ValueError: it is not of this form.
    """
    area, _, address = text.partition(" ")
    if area not in MODBUS_AREAS or not re.fullmatch(r"\d{1,5}", address) or int(address) > 0xFFFF:
        raise ValueError(f"a point like 'coil 4', 'input 12', 'holding 20' or 'register 10', not {text!r}")
    return area, int(address)


def check_modbus(text: str, written: bool) -> None:
    """Refuse what is no point, and a point to write that only can be read.

    Raises:
        ValueError: in words.
    """
    area, _ = modbus_point(text)
    if written and area not in _WRITEABLE:
        raise ValueError(f"a point that can be written: 'coil …' or 'holding …', not {text!r}")


def check_opcua(text: str, written: bool) -> None:  # noqa: ARG001 (the server alone knows what may be written)
    """Refuse what is no node's identifier.

    Raises:
        ValueError: in words.
    """
    if not _NODE.fullmatch(text):
        raise ValueError(f"a node like 'ns=2;s=Line.Trigger' or 'ns=2;i=7', not {text!r}")


def check_topic(text: str, written: bool) -> None:  # noqa: ARG001 (the broker alone knows who may publish)
    """Refuse what is no topic of its own.

    Raises:
        ValueError: in words.
    """
    if not text or len(text.encode()) > 0xFFFF or set(text) & set("+#\0") or text.startswith("$"):
        raise ValueError(f"one topic like 'line3/parts', without + and #, not {text!r}")


@dataclass
class Run:
    """Addresses of one area that follow on one another, read in one request.

    Attributes:
        area: coil, input, holding, register.
        first: address.
        count: of addresses.
        points: each with its place in the run and how many addresses it takes.
    """

    area: str
    first: int
    count: int = 0
    points: dict[str, tuple[int, int]] = field(default_factory=dict)

    def split(self, values: Sequence[int], low_word_first: bool) -> dict[str, int]:
        """By point, what was read of the whole run."""
        found = {}
        for point, (place, size) in self.points.items():
            words = [int(value) for value in values[place : place + size]]
            high, low = (words[-1], words[0]) if low_word_first else (words[0], words[-1])
            found[point] = words[0] if size == 1 else high << 16 | low
        return found


def modbus_runs(points: Mapping[str, int]) -> list[Run]:
    """How to read these points in as few requests as there can be; no address in between is asked that nobody named.

    Args:
        points: and how many bits a number has there; one of 32 takes two registers.
    """
    runs: list[Run] = []
    for (area, address), point in sorted((modbus_point(point), point) for point in points):
        size = 2 if points[point] == 32 and area in ("holding", "register") else 1
        run = runs[-1] if runs else None
        if run is None or run.area != area or run.first + run.count != address:
            run = Run(area, address)
            runs.append(run)
        run.points[point] = (run.count, size)
        run.count += size
    return runs


CHECKS: dict[str, Callable[[str, bool], None]] = {
    "modbus": check_modbus,
    "opcua": check_opcua,
    "mqtt": check_topic,
}
"""By kind of controller."""
