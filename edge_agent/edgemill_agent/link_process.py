"""Sends the ledger to the consumer and brings its acknowledgements home; reads the ledger, never writes it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemill_agent.ledger.view import LedgerView
from edgemill_agent.processes.priority import LINK, stand_back
from edgemill_core.processes.channel import Channel
from edgemill_core.processes.child_main import child_main
from edgemill_link.broker_settings import BrokerSettings
from edgemill_link.publisher import Publisher, Report

if TYPE_CHECKING:
    from edgemill_agent.metrics_page import MetricsPage


def work(channel: Channel, first: Mapping[str, Any]) -> None:
    """Until the line process is gone.

    First message: ``device``, ``state`` (the ledger's folder), ``broker`` (settings, or ``None``), ``facts``, ``http``
    (settings, or ``None``). Sends ``{"acknowledged": position}``, ``{"connected": bool}``, ``{"trouble": words}``; gets
    ``{"wake": true}``, ``{"facts": …}``, ``{"figures": …}`` and ``{"good_bye": true}``.
    """
    page = _page(first["http"], channel)
    if first["broker"] is None:
        _obey(channel, page, lambda _: None)
        return
    view = LedgerView.open(Path(first["state"]))

    def report(said: Report) -> None:
        told = {"acknowledged": said.acknowledged, "connected": said.connected, "trouble": said.trouble or None}
        channel.send({name: value for name, value in told.items() if value is not None})

    broker = BrokerSettings.model_validate(first["broker"])
    publisher = Publisher(first["device"], view, broker, first["facts"], report)
    over = threading.Event()

    def listen() -> None:
        _obey(channel, page, lambda facts: publisher.tell_facts(facts) if facts else publisher.wake())
        over.set()
        publisher.wake()

    threading.Thread(target=listen, daemon=True).start()
    try:
        while not over.is_set():
            publisher.step()
    finally:
        publisher.stop()
        view.close()


def _page(http: Mapping[str, Any] | None, channel: Channel) -> MetricsPage | None:
    """Figures are a convenience: if they cannot be served, that is said, and everything else goes on."""
    if http is None:
        return None
    from edgemill_agent.metrics_page import MetricsPage

    try:
        return MetricsPage(http["host"], http["port"])
    except OSError as error:
        channel.send({"trouble": f"no figures at {http['host']}:{http['port']}: {error}; mend `http:` in agent.yaml"})
        return None


def _obey(channel: Channel, page: MetricsPage | None, wake: Callable[[Mapping[str, Any] | None], None]) -> None:
    while (message := channel.receive()) is not None and "good_bye" not in message:
        if "figures" not in message:
            wake(message.get("facts"))
        elif page is not None:
            page.show(message["figures"])


if __name__ == "__main__":
    stand_back(LINK)
    child_main(work)
