"""What an agent does about updates before it starts."""

from __future__ import annotations

import logging
from datetime import datetime, timezone

from edgemill_agent.settings import AgentSettings

_log = logging.getLogger("edgemill.updates")


def count_start(settings: AgentSettings) -> None:
    """Bring slots to what the ledger says, and give up a trial during which the agent was started too often.

    Args:
        settings: read for ``names``.
    """
    if all(station.release is None for station in settings.stations):
        return
    from edgemill_agent.updating.updater import Updater
    from edgemill_core.errors import InputError

    try:
        with Updater(settings, lambda: datetime.now(timezone.utc)) as updater:
            updater.started()
    except InputError:
        return  # an update goes on: it settles what there is, and a box must start all the same
    except OSError as error:  # a disk that is full, or cannot be written; what judges is there
        _log.warning("this start is not counted, and what became of a trial is not looked at: %s", error)
