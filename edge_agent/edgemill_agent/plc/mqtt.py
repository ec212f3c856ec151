"""MQTT 5. Paho works on a thread of its own, so neither names, nor certificates, nor a slow broker hold up the line."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from edgemill_agent.plc.base import Message, Messages, PlcError, within
from edgemill_core.errors import LinkError
from edgemill_link.broker_settings import BrokerSettings
from edgemill_link.connection import client_for, connect_soon, why_not

_CONNECT_S = 5.0
_NOBODY = 0x10
"""Reason code of a PUBACK: no matching subscribers."""


class MqttMessages(Messages):
    """A controller, or whatever else publishes and subscribes, behind a broker.

    A connection has no session and is never mended, but replaced: what was published while nobody was connected is
    long gone, and what we did not get rid of is sent again only as long as it is worth anything.
    """

    _session: _Session | None = None

    async def connect(self, listen: str | None = None, will: tuple[str, bytes] | None = None) -> None:
        """See ``Messages``."""
        await self.close()
        try:
            self._session = session = _Session(BrokerSettings.model_validate(self.settings), listen, will)
        except LinkError as error:
            raise PlcError(f"{error.what}: {error.got}") from error
        try:
            await within(_CONNECT_S, session.opened)
        except PlcError as error:
            await self.close()
            raise PlcError(f"{self.settings['url']}: {error}") from error

    async def next(self) -> Message:
        """See ``Messages``."""
        session = self._open()
        if session.over and session.came.empty():
            raise PlcError(session.over)
        found = await session.came.get()
        if found is None:
            raise PlcError(session.over)
        return found

    async def send(self, topic: str, payload: bytes, retain: bool = False) -> bool:
        """See ``Messages``."""
        session = self._open()
        try:
            reason = await within(self.timeout_s, session.publish(topic, payload, retain))
        except PlcError as error:
            raise PlcError(f"{topic}: {session.over or error}") from error
        if reason.is_failure:
            raise PlcError(f"{topic}: the broker refuses it: {reason}")
        return int(reason.value) != _NOBODY

    async def close(self) -> None:
        """See ``Messages``."""
        session, self._session = self._session, None
        if session is not None:
            session.give_up()
            # Its thread is not joined: it may hang on a name that nobody knows, and ends by itself.
            with suppress(PlcError):
                await within(self.timeout_s, session.ended.wait())

    def _open(self) -> _Session:
        if self._session is None:
            raise PlcError("not connected")
        return self._session


class _Session:
    """One connection from its beginning to its end. Methods in ``_on_…`` run on paho's thread and only pass on.

    Attributes:
        opened: done when it stands and the topic is subscribed.
        came: messages, and ``None`` when there will be no more.
        over: why it ended, in words; empty while it has not.
        ended: set when it has.
    """

    def __init__(self, broker: BrokerSettings, listen: str | None, will: tuple[str, bytes] | None) -> None:
        self._broker, self._listen = broker, listen
        self._loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = self._loop.create_future()
        self.came: asyncio.Queue[Message | None] = asyncio.Queue()
        self.over = ""
        self.ended = asyncio.Event()
        self._given_up = False
        self._sent: dict[int, asyncio.Future[Any]] = {}
        self.client = client = client_for(broker, f"edgemill-{uuid4().hex[:12]}", reconnect_on_failure=False)
        client.on_connect, client.on_connect_fail = self._on_connect, self._on_connect_fail
        client.on_subscribe, client.on_message = self._on_subscribe, self._on_message
        client.on_publish, client.on_disconnect = self._on_publish, self._on_disconnect
        if will is not None:
            client.will_set(*will, qos=1, retain=True)
        connect_soon(client, broker)

    def publish(self, topic: str, payload: bytes, retain: bool) -> asyncio.Future[Any]:
        """Gives the broker's reason code, once that came."""
        told: asyncio.Future[Any] = self._loop.create_future()
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        info = self.client.publish(topic, payload, 1, retain, properties)
        if self.over or info.rc != paho.MQTT_ERR_SUCCESS:
            told.cancel()
        else:
            self._sent[info.mid] = told
        return told

    def give_up(self) -> None:
        """Disconnect in order; if it is not connected yet, as soon as it is."""
        self._given_up = True
        self.client.disconnect()

    def _on_connect(self, client: paho.Client, _: Any, __: Any, reason: Any, ___: Any) -> None:
        if self._given_up:
            client.disconnect()
        elif reason.is_failure:
            self._pass_on(self._end, f"the broker refuses us: {reason}")
        elif self._listen is None:
            self._pass_on(_settle, self.opened, None)
        else:
            # Nothing that was retained: it is no part that comes now.
            options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
            client.subscribe(self._listen, options=options)

    def _on_subscribe(self, _: Any, __: Any, ___: Any, reasons: Any, ____: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._pass_on(self._end, f"the broker does not let us listen to {self._listen}: {reasons[0]}")
        else:
            self._pass_on(_settle, self.opened, None)

    def _on_message(self, _: Any, __: Any, message: paho.MQTTMessage) -> None:
        if not message.retain:  # some brokers send what was retained all the same
            self._pass_on(self.came.put_nowait, Message(bytes(message.payload), time.monotonic_ns()))

    def _on_publish(self, _: Any, __: Any, number: int, reason: Any, ___: Any) -> None:
        self._pass_on(self._acknowledge, number, reason)

    def _on_connect_fail(self, client: paho.Client, _: Any) -> None:
        client.disconnect()  # or it tries again
        self._pass_on(self._end, why_not(self._broker) or "no connection to the broker")

    def _on_disconnect(self, _: Any, __: Any, ___: Any, reason: Any, ____: Any) -> None:
        # A broker may refuse a certificate as late as this (TLS 1.3), and paho does not say so.
        why = "" if self.opened.done() else why_not(self._broker)
        self._pass_on(self._end, why or f"disconnected: {reason}")

    def _pass_on(self, what: Callable[..., object], *told: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody wants to know
            self._loop.call_soon_threadsafe(what, *told)

    def _acknowledge(self, number: int, reason: Any) -> None:
        told = self._sent.pop(number, None)
        if told is not None:
            _settle(told, reason)

    def _end(self, why: str) -> None:
        self.over = self.over or why
        self.client.disconnect()
        if not self.opened.done():
            self.opened.set_exception(PlcError(why))
            self.opened.exception()  # whoever waited may have gone
        for told in self._sent.values():
            told.cancel()
        self._sent.clear()
        self.came.put_nowait(None)
        self.ended.set()


def _settle(told: asyncio.Future[Any], value: object) -> None:
    if not told.done():
        told.set_result(value)
