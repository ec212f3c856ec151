"""Publishes verdicts and states as messages (MQTT)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from edgemill_agent.clock import Clock
from edgemill_agent.line.outputs import Answer, Outputs, Told
from edgemill_agent.plc import messages_class
from edgemill_agent.plc.settings import OutputSettings

_REASONS_MOST = 20


class TopicOutputs(Outputs):
    """The topics of one broker: each verdict, and, retained, whether this box is ready. See ``Outputs``."""

    def __init__(
        self, settings: OutputSettings, deadline_ms: int | None, clock: Clock, tell: Callable[[str], None]
    ) -> None:
        super().__init__(settings, deadline_ms, clock, tell)
        assert settings.topic is not None
        self._topic = settings.topic
        self._state_topic = settings.state or f"{settings.topic}/state"
        self._messages = messages_class(settings.kind)(settings.place, settings.timeout_ms / 1e3)
        self._beats = self._beat_at_ns = 0
        self._shown: Mapping[str, object] = {}
        self.answered.set_result(None)

    async def _connect(self) -> None:
        await self._messages.connect(will=(self._state_topic, _encoded({"ready": False})))
        self._shown = {}

    async def _serve(self) -> None:
        while True:
            self._wake.clear()
            while self._give_up_old():
                await self._publish()
            await self._show()
            self._trouble = ""
            await self._wait(self._beat_at_ns)

    async def _publish(self) -> None:
        owed = self._owed[0]
        heard = await self._messages.send(self._topic, _encoded(told_of(owed.answer)))
        self._owed.popleft()
        if heard:
            self._confirmed(owed)
        else:
            owed.tell(Told(None, f"nobody listens at {self._topic}"))

    async def _show(self) -> None:
        """The beat goes with every state, and by itself: after each break it is seen as soon as the broker is there."""
        states = {"ready": bool(self._states["ready"]), "alarm": bool(self._states["alarm"])}
        shown: dict[str, object] = {**states, "product": self._states["product"]}
        now = self._clock.monotonic_ns()
        if shown == self._shown and now < self._beat_at_ns:
            return
        self._beat_at_ns = now + self._settings.heartbeat_ms * 1_000_000
        self._beats = (self._beats + 1) & 0xFFFF
        await self._messages.send(self._state_topic, _encoded({**shown, "heartbeat": self._beats}), retain=True)
        self._shown = shown

    async def _say_good_bye(self) -> None:
        self._beat_at_ns = 0
        await self._show()

    async def _close(self) -> None:
        await self._messages.close()


def told_of(answer: Answer) -> dict[str, object]:
    """A verdict's message; what is not known is not in it."""
    known = {"count": answer.count, "number": answer.number}
    reasons = list(answer.reasons[:_REASONS_MOST])
    return {
        **{name: value for name, value in known.items() if value is not None},
        "decision": answer.decision,
        "safe": answer.safe,
        **({"reasons": reasons} if reasons else {}),
    }


def _encoded(body: Mapping[str, object]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()
