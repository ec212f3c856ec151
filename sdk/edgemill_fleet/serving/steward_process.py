"""Moves rollouts on, signs what is due, and keeps the list of releases from expiring. Of many, one works."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgemill_core.errors import StoreError
from edgemill_core.processes.channel import Channel
from edgemill_core.processes.child_main import child_main
from edgemill_fleet.founding import ONLINE, PLANS
from edgemill_fleet.releases.keys import KEY, signer_of
from edgemill_fleet.rollouts.signing import PlanSigner
from edgemill_fleet.rollouts.steward import Steward
from edgemill_fleet.serving.names import process_name
from edgemill_fleet.settings import FleetFolder, open_folder
from edgemill_fleet.store.database import open_database

_PAUSE_S = 1.0


def work(channel: Channel, first: Mapping[str, Any]) -> None:
    """Until it is ended, at any moment.

    First message: ``folder``, the fleet's.
    """
    folder = open_folder(Path(first["folder"]))
    steward = steward_of(folder)
    channel.send({"ready": True})
    said: list[str] = []
    while True:
        try:
            trouble = steward.step().trouble
        except StoreError as error:
            trouble = [str(error)]
        for one in trouble:
            if one not in said:  # the same, every second, helps nobody
                channel.send({"said": one})
        said = trouble
        time.sleep(_PAUSE_S)


def steward_of(folder: FleetFolder) -> Steward:
    """A steward of this fleet, another than any that there is.

    Raises:
        InputError: a key cannot sign.
    """
    signers = [signer_of(folder.keys / f"{name}{KEY}") for name in (ONLINE, PLANS)]
    signer = PlanSigner(folder.releases, signers)
    return Steward(open_database(folder.database_url), signer, time.time, process_name())


if __name__ == "__main__":
    child_main(work)
