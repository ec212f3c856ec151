"""A connection to the broker that comes back by itself (paho-mqtt, MQTT 5)."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgemill_core.errors import LinkError
from edgemill_link.broker_settings import BrokerSettings

RECEIVE_MAXIMUM = 20
_BACK_OFF = (1, 30)
_TRY_S, _REFUSAL_S = 5.0, 1.0


@dataclass(frozen=True)
class Handlers:
    """What to do when something happens; called on paho's own thread, so they only take note.

    Attributes:
        up: the connection stands and the topics are subscribed.
        down: it is gone, with the reason in words.
        message: topic and payload of what came.
    """

    up: Callable[[], None]
    down: Callable[[str], None]
    message: Callable[[str, bytes], None]


class Connection:
    """Connects, subscribes, and connects again after a break with a growing pause."""

    def __init__(
        self,
        settings: BrokerSettings,
        client_id: str,
        topics: Sequence[str],
        handlers: Handlers,
        will: tuple[str, bytes] | None = None,
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._handlers = handlers
        self._up = False
        client = client_for(settings, client_id)
        client.reconnect_delay_set(*_BACK_OFF)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_message, client.on_connect_fail = self._on_message, self._on_connect_fail
        if will is not None:
            client.will_set(*will, qos=1, retain=True)
        self._client = client

    def start(self) -> None:
        """Begin to connect, in the background; a broker that is not there yet is tried again."""
        # No session is kept at the broker: what is not acknowledged end to end is sent again anyway.
        connect_soon(self._client, self._settings)

    def publish(self, topic: str, payload: bytes, retain: bool = False, expires_s: int | None = None) -> bool:
        """Hand a message over, QoS 1; false if there is no connection (it is not queued then)."""
        if not self._client.is_connected():
            return False
        properties = None
        if expires_s is not None:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = expires_s
        return self._client.publish(topic, payload, 1, retain, properties).rc == mqtt.MQTT_ERR_SUCCESS

    def stop(self) -> None:
        """Disconnect in order, so that the broker does not send the last will."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: mqtt.Client, _: Any, __: Any, reason: Any, ___: Any) -> None:
        if reason.is_failure:
            self._handlers.down(f"the broker refuses us: {reason}")
            return
        if self._topics:
            client.subscribe([(topic, 1) for topic in self._topics])
        self._up = True
        self._handlers.up()

    def _on_disconnect(self, _: Any, __: Any, ___: Any, reason: Any, ____: Any) -> None:
        # A broker may refuse a certificate as late as this (TLS 1.3), and paho does not say so.
        why = "" if self._up else why_not(self._settings)
        self._up = False
        self._handlers.down(why or f"disconnected: {reason}")

    def _on_connect_fail(self, _: Any, __: Any) -> None:
        self._handlers.down(why_not(self._settings) or "no connection to the broker")

    def _on_message(self, _: Any, __: Any, message: mqtt.MQTTMessage) -> None:
        self._handlers.message(message.topic, bytes(message.payload))


def client_for(settings: BrokerSettings, client_id: str, **more: Any) -> mqtt.Client:
    """A client that the broker will let in; not connected yet.

    Args:
        settings: of the broker.
        client_id: unique at that broker.
        more: as paho's client has it.

    Raises:
        LinkError: a certificate or the password cannot be read.
    """
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, protocol=mqtt.MQTTv5, **more)
    client.max_inflight_messages_set(RECEIVE_MAXIMUM)
    if settings.username:
        client.username_pw_set(settings.username, _password(settings))
    if settings.tls:
        context = _tls(settings)
        client.tls_set_context(context)
        client.on_pre_connect = lambda *_: _show_newest(context, settings)
    return client


def connect_soon(client: mqtt.Client, settings: BrokerSettings) -> None:
    """Connect without a session, on a thread of the client's own."""
    connect = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    connect.ReceiveMaximum = RECEIVE_MAXIMUM
    client.connect_async(settings.host, settings.port, settings.keepalive_s, clean_start=True, properties=connect)
    client.loop_start()


def why_not(settings: BrokerSettings) -> str:
    """Why the broker cannot be reached, in words: network or certificates; empty if it is neither."""
    where = f"{settings.host}:{settings.port}"
    try:
        with socket.create_connection((settings.host, settings.port), _TRY_S) as plain:
            if not settings.tls:
                return ""
            with _tls(settings).wrap_socket(plain, server_hostname=settings.host) as secure:
                secure.settimeout(_REFUSAL_S)
                secure.recv(1)
    except TimeoutError:
        return ""  # it waits for us to speak: no refusal so far
    except ssl.SSLCertVerificationError as error:
        return f"we do not trust the broker at {where}: {error.verify_message}; see `ca:` under `mqtt:`"
    except ssl.SSLError as error:
        return f"the broker at {where} refuses our certificate ({error.reason}); see `certificate:` under `mqtt:`"
    except OSError as error:
        return f"no connection to {where}: {error}"
    except LinkError as error:
        return error.what
    return ""


def _password(settings: BrokerSettings) -> str | None:
    if settings.password_file is None:
        return None
    try:
        return settings.password_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise LinkError(
            "the broker's password cannot be read",
            expected=f"a file that this user may read at {settings.password_file}",
            got=str(error),
            fix="mend `password_file:` under `mqtt:`",
        ) from error


def _show_newest(context: ssl.SSLContext, settings: BrokerSettings) -> None:
    """A certificate may have been renewed since; one that cannot be read now is no reason to show none."""
    if settings.certificate is not None and settings.key is not None:
        with suppress(OSError, ssl.SSLError):
            context.load_cert_chain(settings.certificate, settings.key)
    if settings.ca is not None:
        with suppress(OSError, ssl.SSLError):
            context.load_verify_locations(settings.ca)


def _tls(settings: BrokerSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(settings.ca) if settings.ca else None)
        if settings.certificate is not None and settings.key is not None:
            context.load_cert_chain(settings.certificate, settings.key)
    except (OSError, ssl.SSLError) as error:
        raise LinkError(
            "the certificates for the broker cannot be used",
            expected="PEM files under ca:, certificate: and key:",
            got=str(error),
            fix="mend these paths under `mqtt:`",
        ) from error
    return context
