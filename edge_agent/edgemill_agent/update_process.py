"""Looks once after updates, takes what all else leaves of the box, and ends. Never in the line process.

It may be killed at any moment: each step of an update is durable before the next begins, and the next look goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgemill_agent.processes.priority import give_way
from edgemill_core.processes.channel import Channel
from edgemill_core.processes.child_main import child_main


def work(channel: Channel, first: Mapping[str, Any]) -> None:
    """Settle trials, prove anew what the box has changed under, and follow the plan if that is asked for.

    First message: ``settings`` (``agent.yaml``), ``follow`` (whether the server is asked), ``deadlines`` (whether the
    line keeps any). Sends ``{"doing": words}``; ``{"changed": true}`` where another bundle is to judge, or the
    ledger is to hear of something; ``{"done": true}``.
    """
    give_way(first["deadlines"])
    # Only now: to import these takes a core for half a second, in which a part would wait.
    from edgemill_agent.fleet_identity import renewed
    from edgemill_agent.settings import read_settings
    from edgemill_agent.updating.slots import read_slots
    from edgemill_agent.updating.updater import Updater, names_wanted
    from edgemill_agent.updating.whence import root_of, source_of

    settings = read_settings(Path(first["settings"]), "names")
    names = names_wanted(settings)
    told = ""

    def tell(words: str) -> None:
        nonlocal told
        if words.partition(": ")[0] != told.partition(": ")[0] or not words.endswith(" MB"):
            channel.send({"doing": words})  # not of every piece that comes
        told = words

    with Updater(settings, _now, tell) as updater:

        def stands() -> tuple[object, ...]:
            return (updater.book.numbers, *(read_slots(settings.state, name) for name in names))

        before = stands()
        try:
            updater.settle(going_on=False)  # the plan may name something else by now
            updater.prove_anew()
            if stands() != before:  # before anything is asked, which may take long
                channel.send({"changed": True})
                before = stands()
            if first["follow"]:
                if (error := renewed(settings, _now(), tell)) is not None:
                    tell(f"{error.what} ({error.got})")
                updater.follow_or_go_on(source_of(settings), root_of(settings))
            else:
                updater.go_on(going_on=settings.fleet is None or settings.fleet.url is None)
        finally:
            if stands() != before:
                channel.send({"changed": True})
    channel.send({"done": True})


def _now() -> datetime:
    return datetime.now(timezone.utc)


if __name__ == "__main__":
    child_main(work, beats=False)
