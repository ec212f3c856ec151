"""Sends the ledger to the consumer and brings its acknowledgements home; reads the ledger, never writes it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgemill_agent.ledger.view import LedgerView
from edgemill_agent.processes.priority import LINK, stand_back
from edgemill_core.processes.channel import Channel
from edgemill_core.processes.child_main import child_main
from edgemill_link.broker_settings import BrokerSettings
from edgemill_link.publisher import Publisher, Report


def work(channel: Channel, first: Mapping[str, Any]) -> None:
    """Until the line process is gone.

    First message: ``device``, ``state`` (the ledger's folder), ``broker`` (settings), ``facts``. Sends
    ``{"acknowledged": position}``, ``{"connected": bool}``, ``{"trouble": words}``; gets ``{"wake": true}`` and
    ``{"good_bye": true}``.
    """
    view = LedgerView.open(Path(first["state"]))

    def report(said: Report) -> None:
        told = {"acknowledged": said.acknowledged, "connected": said.connected, "trouble": said.trouble or None}
        channel.send({name: value for name, value in told.items() if value is not None})

    broker = BrokerSettings.model_validate(first["broker"])
    publisher = Publisher(first["device"], view, broker, first["facts"], report)
    over = threading.Event()

    def listen() -> None:
        while (message := channel.receive()) is not None and "wake" in message:
            publisher.wake()
        over.set()
        publisher.wake()

    threading.Thread(target=listen, daemon=True).start()
    try:
        while not over.is_set():
            publisher.step()
    finally:
        publisher.stop()
        view.close()


if __name__ == "__main__":
    stand_back(LINK)
    child_main(work)
