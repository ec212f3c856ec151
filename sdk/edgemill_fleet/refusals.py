"""Why the fleet manager does not do what it was asked for, each with the status that a REST answer has."""

from __future__ import annotations

from typing import ClassVar

from edgemill_core.errors import EdgemillError


class FleetError(EdgemillError):
    """The fleet manager does not do what was asked."""

    status: ClassVar[int] = 400


class UnknownError(FleetError):
    """There is no such thing."""

    status = 404


class ConflictError(FleetError):
    """As things stand it cannot be: it is used, over, or somebody else's."""

    exit_code = 1
    status = 409


class StrangerError(FleetError):
    """Nobody is known by this token, code or certificate."""

    exit_code = 1
    status = 401


class NotAllowedError(FleetError):
    """Who asks is known, and may not."""

    exit_code = 1
    status = 403


class TooMuchError(FleetError):
    """More bytes than may come."""

    status = 413


class TooOftenError(FleetError):
    """More requests than may come; later they may."""

    exit_code = 3
    status = 429


class TooSlowError(FleetError):
    """It took too long to come."""

    exit_code = 3
    status = 408
