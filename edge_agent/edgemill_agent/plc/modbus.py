"""Modbus/TCP. The only module that imports ``pymodbus``."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from pymodbus.client import AsyncModbusTcpClient

from edgemill_agent.plc.base import Plc, PlcError, within
from edgemill_agent.plc.points import Run, modbus_point, modbus_runs

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

    async def read_all(self, points: Mapping[str, int]) -> dict[str, int]:
        """See ``Plc``. Points whose addresses follow on one another come in one request."""
        return {point: value for run in modbus_runs(points) for point, value in (await self._read(run)).items()}

    async def _read(self, run: Run) -> dict[str, int]:
        client = self._open()
        ask = {
            "coil": client.read_coils,
            "input": client.read_discrete_inputs,
            "holding": client.read_holding_registers,
            "register": client.read_input_registers,
        }[run.area]
        unit, named = self.settings["unit"], ", ".join(run.points)
        found = await self._answer(lambda: ask(run.first, count=run.count, device_id=unit), named)
        values = found.bits if run.area in ("coil", "input") else found.registers
        if len(values) < run.count:
            raise PlcError(f"{named}: {len(values)} values, not {run.count}")
        return run.split(values, self.settings.get("low_word_first", False))

    async def write(self, values: Mapping[str, int]) -> None:
        """See ``Plc``. Registers that follow on one another go in one request, but for the last point."""
        *first, last = values
        # Many small controllers know no request for several coils.
        for points in (*_together(first), [last]):
            await self._answer(partial(self._write, [(point, values[point]) for point in points]), ", ".join(points))

    def _write(self, values: Sequence[tuple[str, int]]) -> Awaitable[Any]:
        client, unit = self._open(), self.settings["unit"]
        area, address = modbus_point(values[0][0])
        if area == "coil":
            return client.write_coil(address, bool(values[0][1]), device_id=unit)
        if len(values) == 1:
            return client.write_register(address, values[0][1] & 0xFFFF, device_id=unit)
        return client.write_registers(address, [value & 0xFFFF for _, value in values], device_id=unit)

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


def _together(points: Sequence[str]) -> list[list[str]]:
    """The points in their order, holding registers that follow on one another in one list."""
    found: list[list[str]] = []
    for point in points:
        area, address = modbus_point(point)
        if found and area == "holding" and modbus_point(found[-1][-1]) == (area, address - 1):
            found[-1].append(point)
        else:
            found.append([point])
    return found
