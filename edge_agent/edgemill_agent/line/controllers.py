"""Trigger and outputs as the settings want them."""

from __future__ import annotations

from collections.abc import Callable

from edgemill_agent.clock import Clock
from edgemill_agent.line.outputs import Outputs
from edgemill_agent.line.plc_outputs import PlcOutputs
from edgemill_agent.line.plc_trigger import PlcTrigger
from edgemill_agent.line.topic_outputs import TopicOutputs
from edgemill_agent.line.topic_trigger import TopicTrigger
from edgemill_agent.line.trigger import Handlers, Trigger
from edgemill_agent.plc.settings import OutputSettings, TriggerSettings


def trigger_for(settings: TriggerSettings, clock: Clock, handlers: Handlers) -> Trigger:
    """Polls points, or listens to a topic.

    Raises:
        MissingPartError: the controller's package is not installed.
    """
    return (TopicTrigger if settings.speaks else PlcTrigger)(settings, clock, handlers)


def outputs_for(
    settings: OutputSettings, deadline_ms: int | None, clock: Clock, tell: Callable[[str], None]
) -> Outputs:
    """Writes points, or publishes on a topic.

    Raises:
        MissingPartError: the controller's package is not installed.
    """
    return (TopicOutputs if settings.speaks else PlcOutputs)(settings, deadline_ms, clock, tell)
