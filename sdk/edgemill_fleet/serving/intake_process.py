"""Takes in telemetry: from the broker into the database, and acknowledges it then."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgemill_core.processes.channel import Channel
from edgemill_core.processes.child_main import child_main
from edgemill_fleet.intake.consumer import Intake
from edgemill_fleet.serving.names import process_name
from edgemill_fleet.settings import open_folder
from edgemill_fleet.store.database import open_database
from edgemill_link.broker_settings import BrokerSettings


def work(channel: Channel, first: Mapping[str, Any]) -> None:
    """Until it is ended, at any moment.

    First message: ``folder``, the fleet's; ``broker``, settings of the broker as JSON.
    """
    database = open_database(open_folder(Path(first["folder"])).database_url)
    broker = BrokerSettings.model_validate(first["broker"])
    intake = Intake(database, broker, lambda said: channel.send({"said": said}), f"edgemill-intake-{process_name()}")
    channel.send({"ready": True})
    while True:
        intake.step()


if __name__ == "__main__":
    child_main(work)
