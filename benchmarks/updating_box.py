"""A box that follows its plan until everything came: ``updating_box.py STATE URL ROOT``.

Each time the line breaks it asks again, as the timer of a real box would, only at once. Proof is left out: there is no
model in what is fetched. At the end it prints what memory the process had before and at its largest, in bytes.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timezone
from pathlib import Path

from edgemill_agent.settings import AgentSettings
from edgemill_agent.updating.proving import Proven
from edgemill_agent.updating.updater import Updater
from edgemill_core.errors import LinkError
from edgemill_core.processes.own_memory import peak_resident_bytes, resident_bytes
from edgemill_link.trust.source import HttpSource

DEVICE = "box-1"


def main() -> None:
    state, url, root = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]).read_bytes()
    station = {"name": "cell", "bundle": "release:b", "source": {"folder": "x"}}
    told = AgentSettings.model_validate({"device": {"id": DEVICE}, "stations": [station]})
    settings = told.model_copy(update={"state": state})
    breaks, before = 0, 0
    with Updater(settings, lambda: datetime.now(timezone.utc), prove=lambda *_: Proven("none", ())) as updater:
        while True:
            try:
                book = updater.follow(HttpSource(url), root)
                break
            except LinkError:
                breaks += 1
                before = before or resident_bytes()
    states = {name: one.state.value for name, one in book.updates.items()}
    print(
        json.dumps(
            {"before": before or resident_bytes(), "peak": peak_resident_bytes(), "breaks": breaks, "states": states}
        )
    )


if __name__ == "__main__":
    main()
