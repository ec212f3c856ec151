"""Modbus/TCP. The only module that imports ``pymodbus``."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from pymodbus.client import AsyncModbusTcpClient

from edgemill_agent.plc.base import Plc, PlcError, within
from edgemill_agent.plc.points import modbus_point

logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # what it has to say comes as an error


class ModbusPlc(Plc):
    """A controller, or whatever stands between it and us, that speaks Modbus/TCP."""

    _client: AsyncModbusTcpClient | None = None

    async def connect(self) -> None:
        """See ``Plc``."""
        await self.close()
        host, port = self.settings["host"], self.settings["port"]
        # Reconnecting and retrying are ours: only we know until when an answer is worth anything.
        client = AsyncModbusTcpClient(host, port=port, timeout=self.timeout_s, retries=0, reconnect_delay=0)
        self._client = client
        try:
            connected = await within(self.timeout_s, client.connect())
        except Exception as error:  # whatever the library stumbles over
            await self.close()
            raise PlcError(f"{host}:{port} cannot be reached: {error}") from error
        if not connected:
            await self.close()
            raise PlcError(f"{host}:{port} cannot be reached: connection refused")

    async def read(self, point: str) -> int:
        """See ``Plc``."""
        client, (area, address) = self._open(), modbus_point(point)
        unit = self.settings["unit"]
        ask = {
            "coil": client.read_coils,
            "input": client.read_discrete_inputs,
            "holding": client.read_holding_registers,
            "register": client.read_input_registers,
        }[area]
        found = await self._answer(lambda: ask(address, count=1, device_id=unit), point)
        values = found.bits if area in ("coil", "input") else found.registers
        if not values:
            raise PlcError(f"{point}: an empty answer")
        return int(values[0])

    async def write(self, values: Mapping[str, int]) -> None:
        """See ``Plc``."""
        for point, value in values.items():
            await self._answer(partial(self._write, point, value), point)

    def _write(self, point: str, value: int) -> Awaitable[Any]:
        client, (area, address), unit = self._open(), modbus_point(point), self.settings["unit"]
        if area == "coil":
            return client.write_coil(address, bool(value), device_id=unit)
        return client.write_register(address, value & 0xFFFF, device_id=unit)

    async def close(self) -> None:
        """See ``Plc``."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _open(self) -> AsyncModbusTcpClient:
        if self._client is None:
            raise PlcError("not connected")
        return self._client

    async def _answer(self, ask: Callable[[], Awaitable[Any]], point: str) -> Any:
        try:
            found = await within(self.timeout_s, ask())  # on a connection that is gone, asking itself may fail
        except Exception as error:  # whatever the library stumbles over in an answer
            raise PlcError(f"{point}: {error}") from error
        if found.isError():
            raise PlcError(f"{point}: refused ({found})")
        return found
