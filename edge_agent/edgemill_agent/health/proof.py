"""Whether what judges is proved on the box as it is now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgemill_agent.health.base import Check
from edgemill_agent.health.facts import Facts
from edgemill_agent.health.finding import Finding, State, ok
from edgemill_agent.updating.box import differences, read_box
from edgemill_agent.updating.slots import Installed, Reproof, names_of, read_slots

if TYPE_CHECKING:
    from edgemill_agent.settings import AgentSettings

_SOON = "the agent proves it anew by itself, beside the line; see its log if that does not come about"
_MEND = "put back what was changed on this box, or release a bundle that is built for it"


class Proof(Check):
    """Bundles that came as releases; a folder that somebody named was never proved here."""

    name = "proof"
    every = 12

    def __init__(self, settings: AgentSettings, station: str = "", root: Path = Path("/")) -> None:
        super().__init__(settings, station)
        self._root = root
        self._names = names_of(settings.state, (one.bundle for one in settings.stations))

    @property
    def applies(self) -> bool:
        """Where a station runs a release."""
        return bool(self._names)

    def look(self, facts: Facts) -> Finding:
        """The worst of all names, see ``judge``."""
        box = read_box(self._root)
        active = (read_slots(facts.state, name).active for name in self._names)
        found = [judge(one, box) for one in active if one is not None]
        return max(found, key=lambda one: one.state, default=ok("nothing is installed"))


def judge(active: Installed, box: Mapping[str, str]) -> Finding:
    """What to say of an active bundle, on the box as it is now."""
    which = f"{active.name} {active.version}"
    if changed := differences(active.proved_on, box):
        return Finding(State.WARNING, f"{which} was proved on another box: {'; '.join(changed)}"[:500], _SOON)
    if active.again is Reproof.DOUBTED:
        return Finding(
            State.ALARM, f"{which} is not proved on this box any more, and judges: {active.why}"[:500], _MEND
        )
    return ok(f"{which} is proved on this box as it is")
