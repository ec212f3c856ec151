"""``trigger:`` and ``outputs:`` of a station."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from edgemill_agent.plc import CONTROLLERS, SPEAKING
from edgemill_agent.plc.points import CHECKS
from edgemill_core.validation import Strict
from edgemill_link.broker_settings import BrokerSettings


class ModbusSettings(Strict):
    """Where the controller is.

    Attributes:
        host: name or address.
        port: of Modbus/TCP.
        unit: behind a gateway, which device.
        low_word_first: of a number of 32 bits in two registers; the high one comes first if not said.
    """

    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] = 502
    unit: Annotated[int, Field(ge=0, le=255)] = 1
    low_word_first: bool = False


class OpcUaSettings(Strict):
    """Where the controller's server is.

    Attributes:
        url: such as ``opc.tcp://10.0.3.2:4840``.
    """

    url: Annotated[str, Field(pattern=r"^opc\.tcp://[^/\s]+")]


class ControllerSettings(Strict):
    """A controller; exactly one kind is named.

    Attributes:
        modbus: Modbus/TCP.
        opcua: OPC UA.
        mqtt: an MQTT broker, and behind it whoever publishes parts and hears verdicts.
        timeout_ms: longest that it may take to answer.
    """

    modbus: ModbusSettings | None = None
    opcua: OpcUaSettings | None = None
    mqtt: BrokerSettings | None = None
    timeout_ms: Annotated[int, Field(ge=10, le=60_000)] = 250

    @model_validator(mode="after")
    def _one_kind(self) -> ControllerSettings:
        if sum(getattr(self, name) is not None for name in CONTROLLERS) != 1:
            raise ValueError(f"name exactly one of: {', '.join(CONTROLLERS)}")
        return self

    @property
    def kind(self) -> str:
        """Its name in the table of controllers."""
        return next(name for name in CONTROLLERS if getattr(self, name) is not None)

    @property
    def speaks(self) -> bool:
        """Whether it has topics instead of points."""
        return self.kind in SPEAKING

    @property
    def place(self) -> dict[str, Any]:
        """Where it is, as JSON values."""
        found: dict[str, Any] = getattr(self, self.kind).model_dump(mode="json")
        return found

    def _check(self, names: Iterable[str], written: bool) -> list[str]:
        """The points (or topics) that are named, each of a form that this kind has."""
        points = [point for name in names if (point := getattr(self, name)) is not None]
        for point in points:
            CHECKS[self.kind](point, written)
        return points

    def _refuse(self, names: Iterable[str]) -> None:
        """Those keys that this kind of controller does not have.

        Raises:
            ValueError: one of them is named.
        """
        for name in names:
            if getattr(self, name) is not None:
                raise ValueError(f"{self.kind} has no {name}")


class TriggerSettings(ControllerSettings):
    """What says that a part is there: exactly one of a counter, a bit and (MQTT) a topic.

    Attributes:
        counter: a point that counts parts. None is missed between two looks, and after an outage it is known how many.
        bit: a point that is 1 while a part is there. One that comes and goes between two looks is missed.
        topic: each message there is a part.
        poll_ms: from one look to the next. A part's age counts from the look before the one that saw it.
        counter_bits: after which the counter begins again at 0; 16, or 32 on a topic, if not said.
        encoder: a point that counts the belt's way, read in the same look: where the belt is when a part is seen.
        encoder_bits: after which the encoder begins again at 0.
        product: a point that says which product the line makes.
        product_ms: from one look at it to the next.
    """

    counter: str | None = None
    bit: str | None = None
    topic: str | None = None
    poll_ms: Annotated[float, Field(ge=1, le=10_000)] = 5.0
    counter_bits: Literal[16, 32] | None = None
    encoder: str | None = None
    encoder_bits: Literal[16, 32] = 16
    product: str | None = None
    product_ms: Annotated[int, Field(ge=1, le=60_000)] = 200

    @model_validator(mode="after")
    def _points_are_right(self) -> TriggerSettings:
        if self.speaks:
            self._refuse(("counter", "bit", "encoder", "product"))
            if self.topic is None:
                raise ValueError(f"{self.kind} needs a topic")
            self._check(("topic",), False)
            return self
        self._refuse(("topic",))
        if (self.counter is None) == (self.bit is None):
            raise ValueError("name exactly one of: counter, bit")
        points = self._check(("counter", "bit", "encoder", "product"), False)
        if len(set(points)) != len(points):
            raise ValueError("each point has one meaning")
        return self

    @property
    def point(self) -> str:
        """That is read."""
        return self.counter or self.bit or ""

    @property
    def bits(self) -> int:
        """Of the counter."""
        return self.counter_bits or (32 if self.speaks else 16)

    @property
    def tells_encoder(self) -> bool:
        """Whether a part may come with the belt's position."""
        return self.speaks or self.encoder is not None


class EjectSettings(Strict):
    """A rejected part is thrown out when the belt has carried it to the ejector.

    Attributes:
        encoder: a point that counts the belt's way: the same count as the trigger's ``encoder``.
        counter_bits: after which it begins again at 0.
        distance: counts from the trigger to the ejector.
        window: counts by which a part may be away from it when it is thrown out.
        point: a bit, 1 while a part is thrown out.
        pulse_ms: for how long.
        look_ms: from one look at the encoder to the next.
        fastest: counts per second that the belt never exceeds; if not said, two windows per look, because a belt that
            is faster carries parts past the ejector between two looks.
    """

    encoder: str
    counter_bits: Literal[16, 32] = 16
    distance: Annotated[int, Field(ge=0, le=1 << 30)]
    window: Annotated[int, Field(ge=1, le=1 << 20)]
    point: str
    pulse_ms: Annotated[int, Field(ge=1, le=60_000)] = 50
    look_ms: Annotated[float, Field(ge=1, le=10_000)] = 5.0
    fastest: Annotated[float, Field(gt=0, le=1e12)] | None = None

    @model_validator(mode="after")
    def _is_within_reach(self) -> EjectSettings:
        if 2 * (self.distance + self.window) >= 1 << self.counter_bits:
            raise ValueError(f"distance and window are less than half of an encoder of {self.counter_bits} bits")
        return self


_PARTS = ("reject", "code", "number")
_STATES = ("ready", "alarm", "busy", "product")
_POINTS = (*_PARTS, *_STATES, "heartbeat", "valid")


class OutputSettings(ControllerSettings):
    """Where verdicts go; any of the points, or (MQTT) a topic.

    Of a part ``reject`` is written first, then ``code``, then ``number``, then ``valid``: when the number changes, or
    ``valid`` comes, the others are its.

    Attributes:
        reject: a bit, 1 if the verdict is one of ``on``.
        on: verdicts that reject a part.
        code: 1 pass, 2 reject, 3 uncertain, 4 a score; 8 more if no engine said so, but the clock or a fault.
        number: the trigger's count of the part, or the lower 16 bits of its number where there is no counter.
        valid: a bit that changes with each answer; with ``taken``, 1 while an answer waits to be taken.
        taken: a bit of the controller's, 1 when it has an answer, 0 when it saw ``valid`` go.
        taken_ms: longest that either may take.
        ready: a bit, 1 while parts are judged.
        alarm: a bit, 1 after ``alarm_after`` late parts in a row, until one is in time.
        busy: a bit, 1 while parts are under way between trigger and answer.
        product: the product that parts are judged as.
        heartbeat: a counter that stands still if this box is dead.
        heartbeat_ms: how often it goes on.
        give_up_ms: an answer that the controller has not taken so long after the deadline is not written any more:
            the part is gone.
        eject: throws rejected parts out when the belt has carried them to the ejector.
        topic: where each verdict is published.
        state: where it stands whether this box is ready; ``TOPIC/state`` if not said.
    """

    reject: str | None = None
    on: tuple[Literal["pass", "reject", "uncertain", "score"], ...] = ("reject", "uncertain")
    code: str | None = None
    number: str | None = None
    valid: str | None = None
    taken: str | None = None
    taken_ms: Annotated[int, Field(ge=1, le=60_000)] = 500
    ready: str | None = None
    alarm: str | None = None
    busy: str | None = None
    product: str | None = None
    heartbeat: str | None = None
    heartbeat_ms: Annotated[int, Field(ge=10, le=60_000)] = 200
    give_up_ms: Annotated[int, Field(ge=0, le=60_000)] = 500
    eject: EjectSettings | None = None
    topic: str | None = None
    state: str | None = None

    @model_validator(mode="after")
    def _points_are_right(self) -> OutputSettings:
        if self.speaks:
            self._refuse((*_POINTS, "taken", "eject"))
            if self.topic is None:
                raise ValueError(f"{self.kind} needs a topic")
            self._check(("topic", "state"), True)
            if self.topic == self.state:
                raise ValueError("verdicts and state have each a topic of their own")
            return self
        self._refuse(("topic", "state"))
        named = self._check(_POINTS, True)
        if self.eject is not None:
            CHECKS[self.kind](self.eject.encoder, False)
            CHECKS[self.kind](self.eject.point, True)
            named.append(self.eject.point)
        if not named:
            raise ValueError(f"name at least one of: {', '.join((*_POINTS, 'eject'))}")
        named += self._check(("taken",), False)
        if len(set(named)) != len(named):
            raise ValueError("each point has one meaning")
        if self.taken is not None and self.valid is None:
            raise ValueError("taken answers to valid: name both")
        return self

    @property
    def states(self) -> dict[str, str]:
        """The points of what holds between parts, by state."""
        return {name: point for name in _STATES if (point := getattr(self, name)) is not None}
