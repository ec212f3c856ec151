"""The steward: the one process that moves rollouts on, signs plans, and keeps the list of releases from expiring.

Rules
- It holds a lease, and looks that it still does in each transaction that writes: of many stewards one works, and one
  that was stopped for longer than its lease writes nothing. Whoever is killed is followed when its lease is over.
- The decision of a rollout is ``waves.step``; it, whom it asks and why is one transaction.
- A plan is signed, then written, then marked. Killed in between, the next one finds the plan that lies there and marks
  it. Nothing is signed inside a transaction.
- Time in which no steward looked does not count as a device's silence: nobody would have heard it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from edgemill_core.errors import EdgemillError
from edgemill_fleet.rollouts.signing import PlanSigner
from edgemill_fleet.rollouts.waves import Course, Outcome, Rollout, Step, heard, left, pardoned, step
from edgemill_fleet.rollouts.windows import may_ask
from edgemill_fleet.store.audit import STEWARD, note
from edgemill_fleet.store.database import Database
from edgemill_fleet.store.devices import ENROLLED
from edgemill_fleet.store.leases import LeaseLost, since_last, take_lease
from edgemill_fleet.store.plans import SignedPlan, due_plans, mark_signed
from edgemill_fleet.store.releases import follow_list
from edgemill_fleet.store.rollouts import live_rollouts, rollout_of, rollout_row, save_rollout, windows_of
from edgemill_fleet.store.rows import pieces
from edgemill_fleet.store.tables import Device, RolloutRow
from edgemill_fleet.store.wanted import want

LEASE = "steward"
_LEASE_S = 60.0
_AWAY_S = 30.0
_AT_ONCE = 200
_SIGN_S = 10.0
"""So long it signs in one step at most; rollouts wait meanwhile."""
_DAY_S = 86_400.0


@dataclass
class Stepped:
    """What one step did.

    Attributes:
        ours: whether this steward holds the lease.
        asked: devices whose plan is to name a release from now on.
        signed: plans that were signed.
        renewed: whether the list of releases was.
        trouble: what could not be done, in words; it is tried again.
    """

    ours: bool = False
    asked: int = 0
    signed: int = 0
    renewed: bool = False
    trouble: list[str] = field(default_factory=list)


class Steward:
    """One of them. ``step`` does the work, on the caller's thread.

    Args:
        database: of the fleet.
        signer: signs in its folder of releases.
        clock: seconds since 1970.
        holder: unique to this process.
    """

    def __init__(self, database: Database, signer: PlanSigner, clock: Callable[[], float], holder: str) -> None:
        self._database, self._signer, self._clock, self._holder = database, signer, clock, holder

    def step(self) -> Stepped:
        """Do what is to be done now. Doing it again does nothing.

        Raises:
            StoreError: the database cannot be reached; the next step goes on.
        """
        done = Stepped()
        try:
            self._take_over(done)
            self._follow_list(done)
            self._move_on(done)
            self._sign(done)
            self._renew(done)
        except LeaseLost:
            done.ours = False
        return done

    def _take_over(self, done: Stepped) -> None:
        now_s = self._clock()
        with self._database.session() as session:
            away_s = since_last(session, LEASE, now_s, _LEASE_S)
            self._hold(session)
            if away_s > _AWAY_S:
                _pardon(session, live_rollouts(session), away_s)
        done.ours = True

    def _follow_list(self, done: Stepped) -> None:
        try:
            listed = self._signer.listed(self._clock())
        except EdgemillError as error:
            done.trouble.append(str(error))
            return
        with self._database.session() as session:
            self._hold(session)
            follow_list(session, listed, self._clock())

    def _move_on(self, done: Stepped) -> None:
        with self._database.reading() as session:
            numbers = live_rollouts(session)
        for number in numbers:
            with self._database.session() as session:
                self._hold(session)
                done.asked += step_rollout(session, number, self._clock())

    def _sign(self, done: Stepped) -> None:
        failed: set[str] = set()
        until_s = self._clock() + _SIGN_S
        while (now_s := self._clock()) <= until_s:
            with self._database.reading() as session:
                due = due_plans(session, now_s + self._signer.days * _DAY_S / 3, _AT_ONCE, sorted(failed))
            if not due:
                return
            wanted = {device: plan.releases for device, plan in due.items()}
            least = {device: plan.least for device, plan in due.items()}
            try:
                made = self._signer.sign(wanted, least, now_s, self._still_ours)
            except EdgemillError as error:
                done.trouble.append(str(error))
                return
            done.signed += len(made.signed)
            done.trouble += [f"{device}: {error}" for device, error in made.faults.items()]
            failed |= set(made.faults)
            signed = {
                device: SignedPlan(wanted[device], plan.version, plan.expires.timestamp())
                for device, plan in made.plans.items()
            }
            with self._database.session() as session:
                self._hold(session)
                mark_signed(session, signed)

    def _renew(self, done: Stepped) -> None:
        try:
            done.renewed = self._signer.renew(self._clock())
        except EdgemillError as error:
            done.trouble.append(str(error))

    def _still_ours(self) -> None:
        """Asked while nobody else can write plans: who slept since he looked what to sign would undo newer ones."""
        with self._database.session() as session:
            self._hold(session)

    def _hold(self, session: Session) -> None:
        if not take_lease(session, LEASE, self._holder, self._clock(), _LEASE_S):
            raise LeaseLost


def step_rollout(session: Session, number: int, now_s: float) -> int:
    """Move one rollout on; gives how many devices it asks now.

    Raises:
        NotThereError: there is none of that number.
    """
    row = rollout_row(session, number, hold=True)
    before = rollout_of(session, row)
    done = step(_without_revoked(session, before, now_s), now_s, may_ask(windows_of(row), now_s))
    if done.ask:
        want(session, done.ask, row.name, row.version, now_s, row.id)
        done = Step(_have_it(session, row, done, now_s), done.ask, done.why)
    save_rollout(session, row, before, done.rollout, done.why)
    if done.rollout.course is not before.course:
        told = {"rollout": number, "name": row.name, "version": row.version, "why": done.why}
        note(session, STEWARD, f"rollout {done.rollout.course.value}", now_s, **told)
    return len(done.ask)


def _without_revoked(session: Session, rollout: Rollout, now_s: float) -> Rollout:
    """Nobody who is not enrolled is asked."""
    return left(rollout, session.execute(select(Device.id).where(Device.standing != ENROLLED)).scalars(), now_s)


def _have_it(session: Session, row: RolloutRow, done: Step, now_s: float) -> Rollout:
    """A device that runs the release already has nothing to say of it: it took it."""
    have: dict[str, Outcome] = {}
    for some in pieces(done.ask):
        runs = select(Device.id, Device.runs).where(Device.id.in_(some))
        have |= {device: Outcome.TOOK for device, told in session.execute(runs) if told.get(row.name) == row.version}
    return heard(done.rollout, have, now_s)


def _pardon(session: Session, numbers: Iterable[int], seconds: float) -> None:
    for number in numbers:
        row = rollout_row(session, number, hold=True)
        if Course(row.course) is Course.RUNNING or Course(row.course) is Course.PAUSED:
            before = rollout_of(session, row)
            save_rollout(session, row, before, pardoned(before, seconds))
