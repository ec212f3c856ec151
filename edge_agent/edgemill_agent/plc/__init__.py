"""Controllers that a station listens and answers to: one file each, and one line in this table."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from edgemill_agent.plc.base import Message, Messages, Plc, PlcError

CONTROLLERS: dict[str, str] = {
    "modbus": "edgemill_agent.plc.modbus:ModbusPlc",
    "opcua": "edgemill_agent.plc.opcua:OpcUaPlc",
    "mqtt": "edgemill_agent.plc.mqtt:MqttMessages",
}
"""Key under ``trigger:`` and ``outputs:`` in the settings → ``module:Class``."""
SPEAKING = frozenset({"mqtt"})
"""Those that speak by themselves (``Messages``); of the others points are read and written (``Plc``)."""
_EXTRA = {"mqtt": "agent"}


def plc_class(kind: str) -> type[Plc]:
    """The class behind ``kind``; imported only now, because it brings a package that not every box has.

    Raises:
        MissingPartError: the package is not installed.
    """
    found: type[Plc] = _class(kind)
    return found


def messages_class(kind: str) -> type[Messages]:
    """The same for a kind that speaks by itself.

    Raises:
        MissingPartError: the package is not installed.
    """
    found: type[Messages] = _class(kind)
    return found


def _class(kind: str) -> Any:
    module, _, name = CONTROLLERS[kind].partition(":")
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        from edgemill_core.errors import MissingPartError

        raise MissingPartError(
            f"a controller that speaks {kind} needs a package that is not installed",
            expected=str(error.name),
            got="no such package",
            fix=f"pip install 'edgemill[{_EXTRA.get(kind, 'plc')}]'",
        ) from error


__all__ = ["CONTROLLERS", "SPEAKING", "Message", "Messages", "Plc", "PlcError", "messages_class", "plc_class"]
