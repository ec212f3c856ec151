"""How points are written in the settings, by kind of controller. No package of a controller is needed to check them."""

from __future__ import annotations

import re
from collections.abc import Callable

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


CHECKS: dict[str, Callable[[str, bool], None]] = {"modbus": check_modbus, "opcua": check_opcua}
"""By kind of controller."""
