"""The table: which checks there are. A new one is one new file and one line here."""

from __future__ import annotations

from edgemill_agent.health.base import Check
from edgemill_agent.health.broker import Broker
from edgemill_agent.health.camera import Camera
from edgemill_agent.health.clock import WallClock
from edgemill_agent.health.disk import Disk
from edgemill_agent.health.engine import EngineWorker
from edgemill_agent.health.late import Late
from edgemill_agent.health.memory import Memory
from edgemill_agent.health.plc import PlcLink
from edgemill_agent.health.proof import Proof
from edgemill_agent.health.temperature import Temperature
from edgemill_agent.settings import AgentSettings

OF_BOX: tuple[type[Check], ...] = (Disk, Temperature, WallClock, Broker, Memory, Proof)
OF_STATION: tuple[type[Check], ...] = (Camera, EngineWorker, Late, PlcLink)


def checks_for(settings: AgentSettings) -> list[Check]:
    """Every check that there is something to look at for, the box's first."""
    box = [one(settings) for one in OF_BOX]
    of_stations = [one(settings, station.name) for station in settings.stations for one in OF_STATION]
    return [check for check in (*box, *of_stations) if check.applies]
