"""Releases as the database knows them, kept in step with the signed list."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from edgemill_fleet.rollouts.waves import Course
from edgemill_fleet.store.audit import STEWARD, note
from edgemill_fleet.store.tables import Release, RolloutRow, Wanted
from edgemill_fleet.store.wanted import plans_due


def follow_list(session: Session, listed: Collection[str], now_s: float) -> list[str]:
    """Take note of releases that were withdrawn, or listed again, since the last time; gives their names.

    Rollouts of a release that was withdrawn stop, and plans that name it are due: a box believes none that names what
    is not listed.

    Args:
        listed: ``NAME/VERSION`` of each.
    """
    changed = []
    for row in session.execute(select(Release).order_by(Release.name, Release.version)).scalars().all():
        gone = f"{row.name}/{row.version}" not in listed
        if gone is row.withdrawn:
            continue
        row.withdrawn = gone
        changed.append(f"{row.name}/{row.version}")
        note(session, STEWARD, f"release {'withdrawn' if gone else 'listed again'}", now_s, release=changed[-1])
        if gone:
            _stop_rollouts(session, row)
        wanted = select(Wanted.device).where(Wanted.name == row.name, Wanted.version == row.version)
        plans_due(session, session.execute(wanted.order_by(Wanted.device)).scalars().all())
    session.flush()
    return changed


def _stop_rollouts(session: Session, release: Release) -> None:
    running = update(RolloutRow).where(
        RolloutRow.name == release.name,
        RolloutRow.version == release.version,
        RolloutRow.course == Course.RUNNING.value,
    )
    why = f"{release.name}/{release.version} was withdrawn"
    session.execute(running.values(course=Course.STOPPED.value, why=why).execution_options(synchronize_session=False))
