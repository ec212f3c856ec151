"""Runs the checks: when each looks, what counts, and how often one may mend. Does no I/O but what its checks read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from edgemill_agent.health.base import Check
from edgemill_agent.health.facts import Facts
from edgemill_agent.health.finding import Finding, Standing, State
from edgemill_core.secrets import masked

CALM_ROUNDS = 4
"""What was wrong must be well in so many rounds before that counts, or a record would come with each flicker."""
MEND_MOST = 3
MEND_WITHIN_S = 3600.0
MEND_PAUSE_S = 60.0
"""A mend has so long to show before the next one."""


@dataclass(frozen=True)
class Change:
    """A check's state is another one now."""

    before: State
    now: Standing


@dataclass(frozen=True)
class Mend:
    """A check asks for a process to be restarted."""

    check: str
    station: str
    process: str
    why: str


@dataclass(frozen=True)
class Round:
    """What one round brought.

    Attributes:
        changes: states that are others now; in the first round, all that are not ``OK``.
        mends: restarts that are asked for, and allowed.
    """

    changes: tuple[Change, ...]
    mends: tuple[Mend, ...]


@dataclass
class _Watched:
    check: Check
    standing: Standing
    candidate: State | None = None
    candidate_since_s: float = 0.0
    mends: deque[float] = field(default_factory=deque)


class Watch:
    """The checks of one box.

    Args:
        checks: each looks in its own rounds.
        every_s: seconds from one round to the next.
        may_mend: whether restarts may be asked for.
    """

    def __init__(self, checks: Iterable[Check], every_s: float, may_mend: bool = True) -> None:
        self._watched = [_Watched(one, Standing(one.name, one.station, State.OK, "", "", 0.0)) for one in checks]
        self._calm_s = CALM_ROUNDS * every_s
        self._may_mend = may_mend
        self._rounds = 0

    def standings(self) -> list[Standing]:
        """What stands of every check."""
        return [one.standing for one in self._watched]

    def round(self, facts: Facts) -> Round:
        """Let every check look whose turn it is."""
        changes, mends = [], []
        for one in self._watched:
            if self._rounds % one.check.every == 0:
                finding = _look(one.check, facts)
                before = one.standing.state
                if self._take(one, finding, facts):
                    changes.append(Change(before, one.standing))
                if finding.restart and one.standing.state is State.ALARM and self._may(one, facts.now_s):
                    mends.append(Mend(one.check.name, one.check.station, finding.restart, finding.what))
        self._rounds += 1
        return Round(tuple(changes), tuple(mends))

    def mended(self, mend: Mend, now_s: float) -> None:
        """The restart that was asked for was done."""
        for one in self._watched:
            if (one.check.name, one.check.station) == (mend.check, mend.station):
                one.mends.append(now_s)
                one.standing.mended += 1

    def _take(self, one: _Watched, finding: Finding, facts: Facts) -> bool:
        """Let the finding stand if it counts; says whether the state is another one now."""
        standing = one.standing
        if finding.state is standing.state:
            one.candidate = None
            standing.what, standing.to_do = masked(finding.what), self._to_do(one, finding)
            standing.since_utc_s = standing.since_utc_s or facts.utc_s
            return False
        if not self._counts(one, finding, facts.now_s):
            return False
        one.candidate = None
        one.standing = Standing(
            standing.check,
            standing.station,
            finding.state,
            masked(finding.what),
            self._to_do(one, finding),
            facts.utc_s,
            standing.mended,
        )
        return True

    def _counts(self, one: _Watched, finding: Finding, now_s: float) -> bool:
        if one.candidate is not finding.state:
            one.candidate, one.candidate_since_s = finding.state, now_s
        better = finding.state is State.OK or (finding.state, one.standing.state) == (State.WARNING, State.ALARM)
        return now_s - one.candidate_since_s >= (self._calm_s if better else finding.holds_s)

    def _may(self, one: _Watched, now_s: float) -> bool:
        while one.mends and now_s - one.mends[0] > MEND_WITHIN_S:
            one.mends.popleft()
        rested = not one.mends or now_s - one.mends[-1] >= MEND_PAUSE_S
        return self._may_mend and rested and len(one.mends) < MEND_MOST

    def _to_do(self, one: _Watched, finding: Finding) -> str:
        if finding.restart and len(one.mends) >= MEND_MOST:
            return f"{finding.restart} was restarted {MEND_MOST} times in an hour, in vain: {finding.to_do}"
        return finding.to_do


def _look(check: Check, facts: Facts) -> Finding:
    try:
        finding = check.look(facts)
        if finding.restart and not check.mends:
            raise RuntimeError(f"{check.name} asks for a restart of {finding.restart}, and does not say that it mends")
    except Exception as error:  # whatever a sensor or a file brings: the other checks go on
        what = f"the check itself failed: {type(error).__name__}: {error}"
        return Finding(State.UNKNOWN, what, "look into the agent's log, and report it")
    return finding
