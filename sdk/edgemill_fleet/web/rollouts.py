"""``/v1/rollouts``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import select
from sqlalchemy.orm import Session

from edgemill_core.errors import InputError
from edgemill_fleet.identity.tokens import Person
from edgemill_fleet.refusals import ConflictError
from edgemill_fleet.rollouts.waves import Course, Outcome, Thresholds, WaveSettings
from edgemill_fleet.rollouts.windows import Window
from edgemill_fleet.store import rollouts
from edgemill_fleet.store.devices import device_of, enrolled_devices
from edgemill_fleet.store.tables import MemberRow, RolloutRow
from edgemill_fleet.web.access import Operator, Releaser, Viewer
from edgemill_fleet.web.manager import Manager, Ours
from edgemill_fleet.web.releases import approved_release
from edgemill_fleet.web.rollout_words import (
    AbortRequest,
    MemberAnswer,
    ResumeRequest,
    RolloutAnswer,
    RolloutRequest,
    WhyRequest,
)
from edgemill_fleet.web.words import AskedNumber, Most, Word

routes = APIRouter(prefix="/v1/rollouts", tags=["rollouts"])
Turn = Callable[[Session, float], object]


@routes.get("")
def read_rollouts(
    manager: Ours,
    _: Viewer,
    course: Course | None = None,
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    most: Most = 50,
) -> list[RolloutAnswer]:
    """The newest first; the next ones are those ``before`` the last id."""
    asked = select(RolloutRow).order_by(RolloutRow.id.desc()).limit(most)
    asked = asked if course is None else asked.where(RolloutRow.course == course.value)
    with manager.database.reading() as session:
        rows = session.scalars(asked if before is None else asked.where(RolloutRow.id < before)).all()
        return [_answer(session, row) for row in rows]


@routes.post("", status_code=201)
def make_rollout(manager: Ours, person: Releaser, asked: RolloutRequest) -> RolloutAnswer:
    """Propose a rollout of an approved release: a draft, until another approves it."""
    now_s = manager.clock().timestamp()
    order = rollouts.Order(asked.name, asked.version, asked.waves, asked.thresholds, asked.windows)
    with manager.database.session() as session:
        approved_release(manager, session, asked.name, asked.version)
        number = rollouts.create_rollout(session, order, _devices(session, asked), person.name, now_s)
        return _answer(session, rollouts.rollout_row(session, number))


@routes.get("/{rollout}")
def read_rollout(manager: Ours, _: Viewer, rollout: AskedNumber) -> RolloutAnswer:
    """How one stands."""
    with manager.database.reading() as session:
        return _answer(session, rollouts.rollout_row(session, rollout))


@routes.get("/{rollout}/devices")
def read_members(
    manager: Ours,
    _: Viewer,
    rollout: AskedNumber,
    outcome: Outcome | None = None,
    after: Annotated[Word | None, Query()] = None,
    most: Most = 100,
) -> list[MemberAnswer]:
    """Its devices by their names, and what became of each; the next ones are those ``after`` the last name."""
    asked = select(MemberRow).where(MemberRow.rollout == rollout).order_by(MemberRow.device).limit(most)
    asked = asked if outcome is None else asked.where(MemberRow.outcome == outcome.value)
    with manager.database.reading() as session:
        rollouts.rollout_row(session, rollout)
        rows = session.scalars(asked if after is None else asked.where(MemberRow.device > after))
        return [MemberAnswer(**{name: getattr(row, name) for name in MemberAnswer.model_fields}) for row in rows]


@routes.post("/{rollout}/approve")
def approve(manager: Ours, person: Releaser, rollout: AskedNumber) -> RolloutAnswer:
    """Let a draft begin; somebody else than who made it does."""
    second = manager.folder.settings.second_person

    def turn(session: Session, now_s: float) -> object:
        row = rollouts.rollout_row(session, rollout)
        approved_release(manager, session, row.name, row.version)
        return rollouts.approve_rollout(session, rollout, person.name, now_s, second)

    return _turned(manager, rollout, turn)


@routes.post("/{rollout}/pause")
def pause(manager: Ours, person: Operator, rollout: AskedNumber, asked: WhyRequest | None = None) -> RolloutAnswer:
    """Ask nobody new until it is resumed."""
    return _turned(
        manager,
        rollout,
        lambda session, now_s: rollouts.pause_rollout(
            session, rollout, person.name, now_s, _why(person, "paused", asked)
        ),
    )


@routes.post("/{rollout}/resume")
def resume(manager: Ours, person: Operator, rollout: AskedNumber, asked: ResumeRequest | None = None) -> RolloutAnswer:
    """Let it go on, behind a pause or a stop."""
    again = asked is not None and asked.again
    return _turned(
        manager,
        rollout,
        lambda session, now_s: rollouts.resume_rollout(
            session, rollout, person.name, now_s, again, _why(person, "resumed", asked)
        ),
    )


@routes.post("/{rollout}/abort")
def abort(manager: Ours, person: Operator, rollout: AskedNumber, asked: AbortRequest | None = None) -> RolloutAnswer:
    """End it; devices that have not taken the release are asked for what they had before, and others on request."""
    back = asked is not None and asked.back
    return _turned(
        manager,
        rollout,
        lambda session, now_s: rollouts.abort_rollout(
            session, rollout, person.name, now_s, back, _why(person, "aborted", asked)
        ),
    )


def _turned(manager: Manager, rollout: int, turn: Turn) -> RolloutAnswer:
    with manager.database.session() as session:
        rollouts.rollout_row(session, rollout)
        with _as_it_stands():
            turn(session, manager.clock().timestamp())
        return _answer(session, rollouts.rollout_row(session, rollout))


@contextmanager
def _as_it_stands() -> Iterator[None]:
    """What a rollout in this course does not let be done is a conflict, and no mistake in the request."""
    try:
        yield
    except InputError as error:
        if type(error) is not InputError:
            raise
        raise ConflictError(error.what, expected=error.expected, got=error.got, fix=error.fix) from error


def _why(person: Person, verb: str, asked: WhyRequest | None) -> str:
    return f"{verb} by {person.name}: {asked.why}" if asked is not None and asked.why else ""


def _devices(session: Session, asked: RolloutRequest) -> Mapping[str, str]:
    """Group by device, in the order in which they are to be asked: as they were named, or by name."""
    enrolled = enrolled_devices(session, asked.group, asked.tags)
    if asked.devices is None:
        return enrolled
    for device in asked.devices:
        device_of(session, device)
    return {device: enrolled[device] for device in asked.devices if device in enrolled}


def _answer(session: Session, row: RolloutRow) -> RolloutAnswer:
    counts = rollouts.count_outcomes(session, row.id)
    return RolloutAnswer(
        id=row.id,
        name=row.name,
        version=row.version,
        course=Course(row.course),
        wave=row.wave,
        waves=[WaveSettings.model_validate(one) for one in row.waves],
        thresholds=Thresholds.model_validate(row.thresholds),
        windows=[Window.model_validate(one) for one in row.windows],
        outcomes=[
            {outcome.value: many for outcome, many in counts.get(wave, {}).items()} for wave in range(len(row.waves))
        ],
        met_s=row.met_s,
        why=row.why,
        made_by=row.made_by,
        made_s=row.made_s,
    )
