"""What becomes of the active slot when the box is another one than that on which it was proved.

The line goes on meanwhile, with what judges. A box whose driver was renewed at night must not stand in the morning:
where nothing on it is proved any more it goes on too, with an alarm that lasts until something is (decision 0044).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from edgemill_agent.updating.box import differences
from edgemill_agent.updating.slots import Installed, Reproof, Slots

if TYPE_CHECKING:
    from edgemill_agent.updating.proving import Proven

Prove = Callable[[Installed], "Proven"]


def needs_proof(slots: Slots, box: Mapping[str, str]) -> bool:
    """Whether the active bundle is to be proved anew. While another one is on trial its end is waited for."""
    return slots.active is not None and slots.trial is None and slots.active.proved_on != dict(box)


def proved_anew(slots: Slots, box: Mapping[str, str], prove: Prove) -> Slots:
    """The active bundle with the runtime that it has, else another of its runtimes, else the bundle before.

    Args:
        slots: with an active bundle, and none on trial.
        box: as it is now.
        prove: tries a bundle, and of its runtimes first that which it was proved with before.

    Returns:
        The slots; of the active bundle ``again`` says which of these it was.
    """
    active = slots.active
    assert active is not None
    changed = (
        "; ".join(differences(active.proved_on, box)) if active.proved_on else "nobody knows on what it was proved"
    )
    found = prove(active)
    if found.runtime is not None:
        again = Reproof.HOLDS if found.runtime == active.runtime else Reproof.ANOTHER_RUNTIME
        return slots.with_active(_looked_at(active, box, again, (changed, *found.why), found.runtime))
    doubted = _looked_at(active, box, Reproof.DOUBTED, (changed, *found.why), active.runtime)
    if slots.previous is not None:
        other = prove(slots.previous)
        if other.runtime is not None:
            why = (changed, f"{active.version}: {'; '.join(found.why)}")
            back = _looked_at(slots.previous, box, Reproof.WENT_BACK, why, other.runtime)
            return slots.model_copy(update={"active": back, "previous": doubted})
        doubted = doubted.model_copy(update={"why": f"{doubted.why}; {slots.previous.version}: {'; '.join(other.why)}"})
    return slots.with_active(doubted)


def _looked_at(
    installed: Installed, box: Mapping[str, str], again: Reproof, why: tuple[str, ...], runtime: str | None
) -> Installed:
    found = {"proved_on": dict(box), "again": again, "why": "; ".join(why)[:2000], "runtime": runtime}
    return installed.model_copy(update=found)
