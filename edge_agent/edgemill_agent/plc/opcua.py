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

_BITS = {
    getattr(ua.VariantType, f"{sign}{name}"): (bits, not sign)
    for name, bits in (("Int16", 16), ("Int32", 32), ("Int64", 64))
    for sign in ("", "U")
} | {ua.VariantType.Byte: (8, False), ua.VariantType.SByte: (8, True)}
"""Whole numbers that a node may hold: bits, and whether one is the sign."""


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

    async def read_all(self, points: Mapping[str, int]) -> dict[str, int]:
        """See ``Plc``; in one request. The node itself knows its bits."""
        nodes = [(await self._node(point))[0] for point in points]
        assert self._client is not None
        values = await self._answer(self._client.read_values(nodes), ", ".join(points))
        found = {}
        for point, value in zip(points, values, strict=True):
            if not isinstance(value, (bool, int, float)):
                raise PlcError(f"{point}: {value!r} is not a number")
            found[point] = int(value)
        return found

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
            ua.DataValue(ua.Variant(_as(kind, value, point), kind))
            for (_, kind), (point, value) in zip(found, values.items(), strict=True)
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
            try:
                node = self._client.get_node(point)
            except Exception as error:  # its parser raises its own
                raise PlcError(f"{point}: no node's identifier ({error})") from error
            self._nodes[point] = (node, await self._answer(node.read_data_type_as_variant_type(), point))
        return self._nodes[point]

    async def _answer(self, asked: Awaitable[Found], point: str, seconds: float | None = None) -> Found:
        try:
            return await within(self.timeout_s if seconds is None else seconds, asked)
        except Exception as error:  # asyncua raises its own, and those of sockets and time
            raise PlcError(f"{point}: {error or type(error).__name__}") from error


def _as(kind: ua.VariantType, value: int, point: str) -> bool | int | float:
    """The value in the node's own type; a number that is too large for it loses its upper bits."""
    if kind == ua.VariantType.Boolean:
        return bool(value)
    if kind in (ua.VariantType.Float, ua.VariantType.Double):
        return float(value)
    if kind not in _BITS:
        raise PlcError(f"{point}: a node of the type {kind.name} takes no number")
    bits, signed = _BITS[kind]
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value
