"""``trigger:`` and ``outputs:`` of a station."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from edgemill_agent.plc import CONTROLLERS
from edgemill_agent.plc.points import CHECKS
from edgemill_core.validation import Strict


class ModbusSettings(Strict):
    """Where the controller is.

    Attributes:
        host: name or address.
        port: of Modbus/TCP.
        unit: behind a gateway, which device.
    """

    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] = 502
    unit: Annotated[int, Field(ge=0, le=255)] = 1


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
        timeout_ms: longest that it may take to answer.
    """

    modbus: ModbusSettings | None = None
    opcua: OpcUaSettings | None = None
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
    def place(self) -> dict[str, Any]:
        """Where it is, as JSON values."""
        found: dict[str, Any] = getattr(self, self.kind).model_dump(mode="json")
        return found


class TriggerSettings(ControllerSettings):
    """What says that a part is there: exactly one of a counter and a bit.

    Attributes:
        counter: a point that counts parts. None is missed between two looks, and after an outage it is known how many.
        bit: a point that is 1 while a part is there. One that comes and goes between two looks is missed.
        poll_ms: from one look to the next. A part's age counts from the look before the one that saw it.
        counter_bits: after which the counter begins again at 0.
    """

    counter: str | None = None
    bit: str | None = None
    poll_ms: Annotated[float, Field(ge=1, le=10_000)] = 5.0
    counter_bits: Literal[16, 32] = 16

    @model_validator(mode="after")
    def _one_point(self) -> TriggerSettings:
        if (self.counter is None) == (self.bit is None):
            raise ValueError("name exactly one of: counter, bit")
        CHECKS[self.kind](self.point, False)
        return self

    @property
    def point(self) -> str:
        """That is read."""
        return self.counter or self.bit or ""


_POINTS = ("reject", "code", "number", "ready", "alarm", "heartbeat")


class OutputSettings(ControllerSettings):
    """Where verdicts go; any of the points.

    Of a part ``reject`` is written first, then ``code``, then ``number``: when the number changes, the others are its.

    Attributes:
        reject: a bit, 1 if the verdict is one of ``on``.
        on: verdicts that reject a part.
        code: 1 pass, 2 reject, 3 uncertain, 4 a score; 8 more if no engine said so, but the clock or a fault.
        number: the trigger's count of the part, or the lower 16 bits of its number where there is no counter.
        ready: a bit, 1 while parts are judged.
        alarm: a bit, 1 after ``alarm_after`` late parts in a row, until one is in time.
        heartbeat: a counter that stands still if this box is dead.
        heartbeat_ms: how often it goes on.
        give_up_ms: an answer that the controller has not taken so long after the deadline is not written any more:
            the part is gone.
    """

    reject: str | None = None
    on: tuple[Literal["pass", "reject", "uncertain", "score"], ...] = ("reject", "uncertain")
    code: str | None = None
    number: str | None = None
    ready: str | None = None
    alarm: str | None = None
    heartbeat: str | None = None
    heartbeat_ms: Annotated[int, Field(ge=10, le=60_000)] = 200
    give_up_ms: Annotated[int, Field(ge=0, le=60_000)] = 500

    @model_validator(mode="after")
    def _points_are_right(self) -> OutputSettings:
        named = [point for name in _POINTS if (point := getattr(self, name)) is not None]
        if not named:
            raise ValueError(f"name at least one of: {', '.join(_POINTS)}")
        for point in named:
            CHECKS[self.kind](point, True)
        if len(set(named)) != len(named):
            raise ValueError("each point has one meaning")
        return self
