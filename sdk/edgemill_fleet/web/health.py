"""``/health`` for load balancers, ``/metrics`` for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from edgemill_fleet.rollouts.waves import OVER
from edgemill_fleet.store.tables import Certificate, Device, Lease, MemberRow, PlanOf, RecordRow, RolloutRow
from edgemill_fleet.web.access import Viewer
from edgemill_fleet.web.manager import Ours

routes = APIRouter(tags=["health"])
_SOON_S = 14 * 86400.0


@routes.get("/health")
def read_health(manager: Ours) -> dict[str, Any]:
    """That the database answers, and who signs at the moment; 503 where it does not answer."""
    now_s = manager.clock().timestamp()
    with manager.database.reading() as session:
        leases = session.scalars(select(Lease)).all()
        return {"database": "good", "leases": {one.name: one.until_s > now_s for one in leases}}


@routes.get("/metrics", response_class=Response)
def read_metrics(manager: Ours, _: Viewer) -> Response:
    """Figures of the whole fleet, whichever process answers."""
    registry = CollectorRegistry(auto_describe=False)
    with manager.database.reading() as session:
        registry.register(_Told(list(_figures(session, manager.clock().timestamp()))))
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _Told:
    def __init__(self, figures: list[Metric]) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        return self._figures


def _figures(session: Session, now_s: float) -> Iterable[Metric]:
    devices = select(Device.standing, Device.online, func.count()).group_by(Device.standing, Device.online)
    yield _gauge(
        "devices", "Boxes.", ("standing", "online"), ((a, str(b).lower(), n) for a, b, n in session.execute(devices))
    )
    courses = select(RolloutRow.course, func.count()).group_by(RolloutRow.course)
    yield _gauge("rollouts", "Rollouts by how they stand.", ("course",), session.execute(courses))
    members = (
        select(MemberRow.rollout, MemberRow.outcome, func.count())
        .join(RolloutRow, RolloutRow.id == MemberRow.rollout)
        .where(RolloutRow.course.not_in([one.value for one in OVER]))
        .group_by(MemberRow.rollout, MemberRow.outcome)
    )
    yield _gauge(
        "rollout_devices", "Boxes of rollouts that are not over.", ("rollout", "outcome"), session.execute(members)
    )
    due = session.scalar(select(func.count()).select_from(PlanOf).where(PlanOf.due.is_(True)))
    yield _gauge("plans_due", "Plans that are to be signed.", (), [(due,)])
    soon = select(func.count()).where(
        Certificate.revoked_s.is_(None), Certificate.not_after_s.between(now_s, now_s + _SOON_S)
    )
    yield _gauge("certificates_ending", "Certificates that end within a fortnight.", (), [(session.scalar(soon),)])
    newest = session.scalar(select(func.max(RecordRow.id)))
    yield _gauge("records", "Ledger records that were ever taken in.", (), [(newest or 0,)])


def _gauge(name: str, told: str, labels: tuple[str, ...], rows: Iterable[Any]) -> Metric:
    made = GaugeMetricFamily(f"edgemill_fleet_{name}", told, labels=labels)
    for *values, figure in rows:
        made.add_metric([str(value) for value in values], float(figure or 0))
    return made
