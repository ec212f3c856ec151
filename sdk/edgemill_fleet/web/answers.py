"""Every refusal is JSON with the parts of our errors: what, expected, got, to do."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import IntegrityError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from edgemill_core.errors import EdgemillError, InputError, StoreError
from edgemill_core.secrets import masked
from edgemill_fleet.refusals import ConflictError, FleetError, StrangerError, TooOftenError
from edgemill_fleet.store.rollouts import SecondPersonError
from edgemill_fleet.store.rows import NotThereError

RETRY_S = 5
_EXPECTED = {
    400: "JSON, not nested too deep",
    404: "a route of this server, or a file of its releases",
    405: "a method that this route has",
}


def refusal(error: EdgemillError) -> JSONResponse:
    """The answer that says it."""
    status = _status(error)
    headers = {}
    if isinstance(error, StrangerError):
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, (TooOftenError, StoreError)):
        headers["retry-after"] = str(RETRY_S)
    return JSONResponse(error.as_dict(), status, headers)


def install(app: FastAPI) -> None:
    """Let ``app`` answer so whatever is raised in it."""
    app.add_exception_handler(EdgemillError, _edgemill)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(IntegrityError, _collision)


def _status(error: EdgemillError) -> int:
    if isinstance(error, FleetError):
        return error.status
    if isinstance(error, SecondPersonError):
        return 403
    if isinstance(error, NotThereError):
        return 404
    if isinstance(error, InputError):
        return 400
    return 503 if isinstance(error, StoreError) else 500


def _edgemill(_: Request, error: Exception) -> Response:
    assert isinstance(error, EdgemillError)
    return refusal(error)


def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first: dict[str, Any] = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    told = InputError(
        f"{where} cannot be used",
        expected=str(first["msg"]),
        got=masked(repr(first.get("input")))[:200],
        fix="see /openapi.json for what each route takes",
    )
    return JSONResponse(told.as_dict(), 422)


def _http(request: Request, error: Exception) -> Response:
    """Of the framework: no such route, another method, JSON that is none."""
    assert isinstance(error, HTTPException)
    told = FleetError(
        str(error.detail),
        expected=_EXPECTED.get(error.status_code, "a request that this server knows"),
        got=f"{request.method} {request.url.path}"[:200],
        fix="see /openapi.json for the routes",
    )
    return JSONResponse(told.as_dict(), error.status_code, error.headers)


def _collision(_: Request, __: Exception) -> Response:
    return refusal(
        ConflictError(
            "somebody else did the same at this moment",
            expected="one at a time",
            got="two at once",
            fix="look how it stands now, and do it again if that is still right",
        )
    )
