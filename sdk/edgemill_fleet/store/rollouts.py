"""Rollouts: rows of the database, and ``waves.Rollout`` made of them. Every change of course is a row of the audit.

Who changes a rollout holds its row, from the first read to the end of the transaction: a word of a device that comes
in between would be lost otherwise. Rows are taken in this order: lease, rollout, member, wanted, plan, device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from edgemill_core.errors import InputError
from edgemill_fleet.rollouts import turns
from edgemill_fleet.rollouts.waves import Course, Member, Outcome, Rollout, Thresholds, WaveSettings, members_of
from edgemill_fleet.rollouts.windows import Window
from edgemill_fleet.store.audit import note
from edgemill_fleet.store.rows import NotThereError, pieces, put_rows
from edgemill_fleet.store.tables import MemberRow, Release, RolloutRow
from edgemill_fleet.store.wanted import want_before


@dataclass(frozen=True)
class Order:
    """A rollout as somebody asks for it.

    Attributes:
        name, version: of the release.
        windows: when devices may be asked; always, if there are none.
    """

    name: str
    version: str
    waves: tuple[WaveSettings, ...]
    thresholds: Thresholds = Thresholds()  # noqa: RUF009 (frozen)
    windows: tuple[Window, ...] = ()


class SecondPersonError(InputError):
    """It takes another person than the one who asked."""


def create_rollout(session: Session, order: Order, devices: Mapping[str, str], who: str, now_s: float) -> int:
    """Put a draft down; gives its number. A second person's ``approve_rollout`` begins it.

    Args:
        devices: group by device, in the order in which they are to be asked (``devices.enrolled_devices``).

    Raises:
        InputError: it has no waves, or they reach no device.
        NotThereError: there is no such release.
    """
    _release(session, order.name, order.version)
    members = members_of(devices, order.waves)
    if not members:
        raise InputError(
            "this rollout reaches nobody",
            expected="waves that take in at least one enrolled device",
            got=f"{len(order.waves)} waves over {len(devices)} devices",
            fix="name a percentage, or a group that has devices",
        )
    row = RolloutRow(
        name=order.name,
        version=order.version,
        waves=[wave.model_dump(mode="json", exclude_none=True) for wave in order.waves],
        thresholds=order.thresholds.model_dump(mode="json"),
        windows=[window.model_dump(mode="json") for window in order.windows],
        course=Course.DRAFT.value,
        made_by=who,
        made_s=now_s,
    )
    session.add(row)
    session.flush()
    session.execute(insert(MemberRow), [_row_of(row.id, member) for member in members])
    _note(session, who, "made", row, now_s, devices=len(members))
    return row.id


def rollout_row(session: Session, number: int, hold: bool = False) -> RolloutRow:
    """The row of a rollout.

    Args:
        hold: nobody else changes it, or its members, until the transaction ends.

    Raises:
        NotThereError: there is none of that number.
    """
    found = session.get(RolloutRow, number, with_for_update=hold or None, populate_existing=hold)
    if found is None:
        raise NotThereError(
            f"there is no rollout {number}",
            expected="the number of one",
            got=str(number),
            fix="look for it: edgemill fleet rollouts",
        )
    return found


def rollout_of(session: Session, row: RolloutRow) -> Rollout:
    """What its decisions are made from."""
    members = select(MemberRow.device, MemberRow.wave, MemberRow.outcome, MemberRow.since_s)
    # Wave by wave; within a wave by name, as they were put in.
    rows = session.execute(members.where(MemberRow.rollout == row.id).order_by(MemberRow.wave, MemberRow.device))
    return Rollout(
        waves=tuple(WaveSettings.model_validate(one) for one in row.waves),
        thresholds=Thresholds.model_validate(row.thresholds),
        members=tuple(Member(device, wave, Outcome(outcome), since_s) for device, wave, outcome, since_s in rows),
        course=Course(row.course),
        wave=row.wave,
        met_s=row.met_s,
    )


def windows_of(row: RolloutRow) -> tuple[Window, ...]:
    """When its devices may be asked."""
    return tuple(Window.model_validate(one) for one in row.windows)


def save_rollout(session: Session, row: RolloutRow, before: Rollout, after: Rollout, why: str = "") -> None:
    """Write what changed between ``before``, which stands there, and ``after``.

    Args:
        why: what changed its course, or its members, in words.
    """
    row.course, row.wave, row.met_s = after.course.value, after.wave, after.met_s
    if why:
        row.why = why
    known = dict(zip((one.device for one in before.members), before.members, strict=True))
    changed = [one for one in after.members if known[one.device] is not one and known[one.device] != one]
    for some in pieces(changed):
        put_rows(session, MemberRow, [_row_of(row.id, one, _why(known[one.device], one)) for one in some])
    session.flush()


def count_outcomes(session: Session, number: int) -> dict[int, dict[Outcome, int]]:
    """How many devices of each wave came to which outcome: for tables and live progress."""
    rows = select(MemberRow.wave, MemberRow.outcome, func.count()).where(MemberRow.rollout == number)
    found: dict[int, dict[Outcome, int]] = {}
    for wave, outcome, many in session.execute(rows.group_by(MemberRow.wave, MemberRow.outcome)):
        found.setdefault(wave, {})[Outcome(outcome)] = many
    return dict(sorted(found.items()))


def approve_rollout(session: Session, number: int, who: str, now_s: float, second: bool = True) -> RolloutRow:
    """Let a draft begin.

    Args:
        second: whoever made it cannot.

    Raises:
        SecondPersonError: whoever made it cannot.
        InputError: it is no draft, or its release is not approved, or withdrawn.
        NotThereError: there is none of that number.
    """
    row = rollout_row(session, number, hold=True)
    if second and row.made_by == who:
        raise SecondPersonError(
            "a rollout is approved by a second person",
            expected=f"somebody else than {row.made_by}",
            got=who,
            fix="ask somebody else to look at it",
        )
    _check_release(session, row)
    return _turn(session, row, who, "approved", now_s, turns.approved)


def pause_rollout(session: Session, number: int, who: str, now_s: float, why: str = "") -> RolloutRow:
    """Ask nobody new until it is resumed.

    Raises:
        InputError: it does not run.
        NotThereError: there is none of that number.
    """
    return _turn(session, rollout_row(session, number, hold=True), who, "paused", now_s, turns.paused, why)


def resume_rollout(
    session: Session, number: int, who: str, now_s: float, again: bool = False, why: str = ""
) -> RolloutRow:
    """Let it go on, behind a pause or a stop.

    Args:
        again: behind a stop, those that failed are asked once more; if not, they are left out.

    Raises:
        InputError: it is neither paused nor stopped, or its release is not approved, or withdrawn.
        NotThereError: there is none of that number.
    """
    row = rollout_row(session, number, hold=True)
    _check_release(session, row)
    return _turn(session, row, who, "resumed", now_s, lambda one: turns.resumed(one, now_s, again), why)


def abort_rollout(session: Session, number: int, who: str, now_s: float, back: bool = False, why: str = "") -> int:
    """End it. Devices that were asked and have not taken the release are asked for what they had before.

    Args:
        back: those too that took it.

    Returns:
        How many go back.

    Raises:
        InputError: it is over already.
        NotThereError: there is none of that number.
    """
    row = rollout_row(session, number, hold=True)
    _turn(session, row, who, "aborted", now_s, turns.aborted, why)
    devices = turns.going_back(rollout_of(session, row).members, back)
    want_before(session, devices, row.name, row.version)
    return len(devices)


def _turn(
    session: Session,
    row: RolloutRow,
    who: str,
    verb: str,
    now_s: float,
    turn: Callable[[Rollout], Rollout],
    why: str = "",
) -> RolloutRow:
    before = rollout_of(session, row)
    save_rollout(session, row, before, turn(before), why or f"{verb} by {who}")
    _note(session, who, verb, row, now_s, why=why)
    return row


def _note(session: Session, who: str, verb: str, row: RolloutRow, now_s: float, **told: object) -> None:
    note(session, who, f"rollout {verb}", now_s, rollout=row.id, name=row.name, version=row.version, **told)


def _release(session: Session, name: str, version: str) -> Release:
    found = session.get(Release, (name, version))
    if found is None:
        raise NotThereError(
            f"there is no release {name[:64]}/{version[:64]}",
            expected="one that the signed list names",
            got="none of that name and version",
            fix="publish it: edgemill release publish",
        )
    return found


def _check_release(session: Session, row: RolloutRow) -> None:
    release = _release(session, row.name, row.version)
    if release.withdrawn or not release.approved_by:
        raise InputError(
            f"{row.name}/{row.version} cannot be rolled out",
            expected="a release that was approved, and is not withdrawn",
            got="it is withdrawn" if release.withdrawn else "nobody approved it",
            fix="approve the release first: edgemill fleet releases approve",
        )


def live_rollouts(session: Session) -> Sequence[int]:
    """Numbers of those that the steward looks at, the oldest first."""
    courses = [course.value for course in (Course.RUNNING, Course.PAUSED, Course.STOPPED)]
    return (
        session.execute(select(RolloutRow.id).where(RolloutRow.course.in_(courses)).order_by(RolloutRow.id))
        .scalars()
        .all()
    )


def _why(before: Member, after: Member) -> str:
    if after.outcome is Outcome.SILENT:
        return f"said nothing for {after.since_s - before.since_s:.0f} s"
    return f"left out; it was {before.outcome.value}" if after.outcome is Outcome.LEFT else ""


def _row_of(rollout: int, member: Member, why: str = "") -> dict[str, object]:
    return {
        "rollout": rollout,
        "device": member.device,
        "wave": member.wave,
        "outcome": member.outcome.value,
        "since_s": member.since_s,
        "why": why,
    }
