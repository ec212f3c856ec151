"""The way of an update, as a table: which event leads from which state to which. No disk, no clock, no network."""

from __future__ import annotations

from enum import Enum


class State(str, Enum):
    """How far an update is; each is on the disk before the next step begins."""

    PLANNED = "planned"
    """A plan names it."""
    VERIFIED = "verified"
    """Manifest and blobs are here, and what was signed for."""
    STAGED = "staged"
    """They lie as a bundle, whole and synced."""
    PROVED = "proved"
    """It decides here as it did on the bench, in time."""
    SHADOWING = "shadowing"
    """It sees the parts that the one before judges, and answers to nobody but the ledger."""
    TRIAL = "trial"
    """It is to judge, with the one before as the way back."""
    COMMITTED = "committed"
    """It is the active one."""
    REFUSED = "refused"
    """It will not be tried again: it cannot be used, is not proved, or disagrees with what judges."""
    ROLLED_BACK = "rolled back"
    """It judged, or tried to, and the one before is back."""
    SUPERSEDED = "superseded"
    """Another release took its place in the plan, or it was withdrawn on its way."""


class Event(str, Enum):
    """What may happen to an update."""

    FETCHED = "everything came, as it was signed for"
    UNFIT = "this agent cannot use it"
    LAID_OUT = "the bundle lies in its place"
    DECIDES = "the golden samples were decided as at build, in time"
    DECIDES_OTHERWISE = "no variant of it is proved here"
    LOOKS_ON = "a station wants to see first how often it decides otherwise than what judges"
    AGREES = "every station that looked concluded that it seldom does"
    DISAGREES = "a station concluded that it does too often, or it cannot be looked at"
    TAKEN_UP = "it is on trial"
    FIRST = "there was none before, so nothing to go back to"
    KEPT = "it gave enough verdicts in time"
    FELL_BACK = "it did not do: it died, was late, or was refused by a station"
    STARTED_TOO_OFTEN = "the agent was started again and again before it was decided"
    REPLACED = "a newer plan names another release"


TABLE: dict[State, dict[Event, State]] = {
    State.PLANNED: {
        Event.FETCHED: State.VERIFIED,
        Event.UNFIT: State.REFUSED,
        Event.REPLACED: State.SUPERSEDED,
    },
    State.VERIFIED: {
        Event.LAID_OUT: State.STAGED,
        Event.UNFIT: State.REFUSED,
        Event.REPLACED: State.SUPERSEDED,
    },
    State.STAGED: {
        Event.DECIDES: State.PROVED,
        Event.DECIDES_OTHERWISE: State.REFUSED,
        Event.UNFIT: State.REFUSED,
        Event.REPLACED: State.SUPERSEDED,
    },
    State.PROVED: {
        Event.LOOKS_ON: State.SHADOWING,
        Event.TAKEN_UP: State.TRIAL,
        Event.FIRST: State.COMMITTED,
        Event.REPLACED: State.SUPERSEDED,
    },
    State.SHADOWING: {
        Event.AGREES: State.TRIAL,
        Event.DISAGREES: State.REFUSED,
        Event.STARTED_TOO_OFTEN: State.REFUSED,
        Event.REPLACED: State.SUPERSEDED,
    },
    State.TRIAL: {
        Event.KEPT: State.COMMITTED,
        Event.FELL_BACK: State.ROLLED_BACK,
        Event.STARTED_TOO_OFTEN: State.ROLLED_BACK,
    },
    State.COMMITTED: {},
    State.REFUSED: {},
    State.ROLLED_BACK: {},
    State.SUPERSEDED: {},
}
"""Whatever is not here does not happen: a line that breaks, a power cut or a full disk leave the state as it is."""

ENDS = frozenset(state for state, events in TABLE.items() if not events)
"""States that nothing leads out of."""


def after(state: State, event: Event) -> State:
    """The state that ``event`` leads to.

    Raises:
        ValueError: it cannot happen in ``state``.
    """
    if event not in TABLE[state]:
        raise ValueError(f"an update that is {state.value} does not hear: {event.value}")
    return TABLE[state][event]
