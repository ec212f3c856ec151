"""The app: every route, behind the guard."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import FastAPI
from starlette.middleware import Middleware

from edgemill_fleet.web import answers, devices, enrolments, health, releases, rollouts, tokens
from edgemill_fleet.web.limits import LIMITS, Guard, Limits
from edgemill_fleet.web.manager import Manager
from edgemill_fleet.web.release_files import ReleaseFiles
from edgemill_link.enrolment import RELEASES

_TOLD = """Devices, releases and rollouts of one fleet.

People and programs show a token (`Authorization: Bearer …`), boxes their certificate. A refusal is an object with
`error`, `what`, `expected`, `got` and `to_do`. Times are seconds since 1970, UTC.
"""


def make_app(manager: Manager, limits: Limits = LIMITS) -> FastAPI:
    """The fleet manager's REST over one database and one folder; make as many as there are processes."""
    app = FastAPI(
        title="Edgemill fleet",
        description=_TOLD,
        version=version("edgemill"),
        middleware=[Middleware(Guard, limits=limits)],
        docs_url=None,  # its pages come from a server of somebody else, and a plant may have no way there
        redoc_url=None,
    )
    app.state.manager = manager
    answers.install(app)
    for router in (devices.routes, enrolments.routes, releases.routes, rollouts.routes, tokens.routes, health.routes):
        app.include_router(router)
    app.mount(RELEASES, ReleaseFiles(manager))
    return app
