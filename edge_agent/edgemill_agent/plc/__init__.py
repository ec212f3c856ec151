"""Controllers that a station listens and answers to: one file each, and one line in this table."""

from __future__ import annotations

from importlib import import_module

from edgemill_agent.plc.base import Plc, PlcError

CONTROLLERS: dict[str, str] = {
    "modbus": "edgemill_agent.plc.modbus:ModbusPlc",
    "opcua": "edgemill_agent.plc.opcua:OpcUaPlc",
}
"""Key under ``trigger:`` and ``outputs:`` in the settings → ``module:Class``."""


def plc_class(kind: str) -> type[Plc]:
    """The class behind ``kind``; imported only now, because it brings a package that not every box has.

    Raises:
        MissingPartError: the package is not installed.
    """
    module, _, name = CONTROLLERS[kind].partition(":")
    try:
        found: type[Plc] = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        from edgemill_core.errors import MissingPartError

        raise MissingPartError(
            f"a controller that speaks {kind} needs a package that is not installed",
            expected=str(error.name),
            got="no such package",
            fix="pip install 'edgemill[plc]'",
        ) from error
    return found


__all__ = ["CONTROLLERS", "Plc", "PlcError", "plc_class"]
