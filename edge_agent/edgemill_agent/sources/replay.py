"""Kept frames of a ledger once more, in the order of their numbers: last week's rejects for a new bundle."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from edgemill_agent.evidence import find_evidence
from edgemill_agent.ledger import LedgerView
from edgemill_agent.sources.base import Arrival, Source
from edgemill_core.errors import EdgemillError
from edgemill_runtimes.frames import read_picture

_LOOK_S = 1.0


class ReplaySource(Source):
    """Reads the state folder of an agent, which may be running: without ``once`` frames are taken as they are kept.

    Each part has what was known of it then, and as ``was`` what it was called then.
    """

    def parts(self) -> Iterator[Arrival | None]:
        """Parts behind the last one taken; one whose frame is gone or was altered comes with its fault."""
        view = LedgerView.open(Path(self.settings["replay"]))
        try:
            while True:
                after = int(self.after) if self.after.isdigit() else 0  # the station may have had another source
                for number in view.kept_numbers(self.settings["station"] or "", after):
                    self.after = f"{number:012d}"
                    yield _arrival(view, number)
                if self.settings.get("once"):
                    return
                yield None
                time.sleep(_LOOK_S)
        finally:
            view.close()


def _arrival(view: LedgerView, number: int) -> Arrival:
    item = f"{number:012d}"
    try:
        found = find_evidence(view, number)
        assert found.frame is not None  # numbers of a request are never kept as a frame
        context = {**found.context, "was": str(found.verdict["decision"])}
        return Arrival(item, read_picture(found.frame), context)
    except EdgemillError as error:
        return Arrival(item, fault=f"{error.what}: {error.got}")
