"""OPC UA. The only module that imports ``asyncua``."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping
from contextlib import suppress

from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.node import Node

from edgemill_agent.plc.base import Found, Plc, PlcError, within

logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # what it has to say comes as an error


class OpcUaPlc(Plc):
    """A controller behind an OPC UA server. Values are written in the type that the node has."""

    _client: Client | None = None

    async def connect(self) -> None:
        """See ``Plc``."""
        await self.close()
        url = self.settings["url"]
        # A client of asyncua cannot be connected twice.
        self._client = Client(url, timeout=self.timeout_s)
        self._nodes: dict[str, tuple[Node, ua.VariantType]] = {}
        try:
            await self._answer(self._client.connect(), url, 3 * self.timeout_s)
        except PlcError:
            await self.close()
            raise

    async def read(self, point: str) -> int:
        """See ``Plc``."""
        node, _ = await self._node(point)
        value = await self._answer(node.read_value(), point)
        if not isinstance(value, (bool, int, float)):
            raise PlcError(f"{point}: {value!r} is not a number")
        return int(value)

    async def write(self, values: Mapping[str, int]) -> None:
        """See ``Plc``."""
        *first, last = values
        for points in (first, [last]):
            if points:
                await self._write({point: values[point] for point in points})

    async def _write(self, values: Mapping[str, int]) -> None:
        found = [await self._node(point) for point in values]
        # No time stamps: many controllers refuse a client's.
        typed = [
            ua.DataValue(ua.Variant(bool(value) if kind == ua.VariantType.Boolean else value, kind))
            for (_, kind), value in zip(found, values.values(), strict=True)
        ]
        assert self._client is not None
        await self._answer(self._client.write_values([node for node, _ in found], typed), ", ".join(values))

    async def close(self) -> None:
        """See ``Plc``."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):  # it may be broken in any way
                await within(self.timeout_s, client.disconnect())

    async def _node(self, point: str) -> tuple[Node, ua.VariantType]:
        if self._client is None:
            raise PlcError("not connected")
        if point not in self._nodes:
            node = self._client.get_node(point)
            self._nodes[point] = (node, await self._answer(node.read_data_type_as_variant_type(), point))
        return self._nodes[point]

    async def _answer(self, asked: Awaitable[Found], point: str, seconds: float | None = None) -> Found:
        try:
            return await within(self.timeout_s if seconds is None else seconds, asked)
        except Exception as error:  # asyncua raises its own, and those of sockets and time
            raise PlcError(f"{point}: {error or type(error).__name__}") from error
