"""What routes take and give. Times are seconds since 1970, UTC."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import Field

from edgemill_core.validation import Strict
from edgemill_fleet.identity.roles import Role

Word = Annotated[str, Field(max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""That people gave something: a site, a group, a tag."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}$")]
Why = Annotated[str, Field(max_length=300, pattern=r"^[^\x00-\x1f\x7f]*$")]
AskedDevice = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
AskedName = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}$")]
AskedNumber = Annotated[int, Path(ge=1, le=2**31 - 1)]
Most = Annotated[int, Query(ge=1, le=1000, description="So many at most.")]


class DeviceAnswer(Strict):
    """A box; ``facts`` as it tells them, ``runs`` version by name of what it committed last."""

    id: str
    standing: str
    site: str
    group: str
    tags: list[str]
    online: bool
    enrolled_s: float
    heard_s: float | None
    runs: dict[str, str]
    wanted: dict[str, str]
    facts: dict[str, Any]
    certificate_until_s: float | None


class DeviceChange(Strict):
    """What is said replaces what was; what is not said stays."""

    site: Word | None = None
    group: Word | None = None
    tags: Annotated[tuple[Word, ...], Field(max_length=50)] | None = None


class EnrolmentRequest(Strict):
    """A code for one device."""

    device: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    site: Word = ""
    group: Word = ""
    tags: Annotated[tuple[Word, ...], Field(max_length=50)] = ()
    hours: Annotated[float, Field(gt=0, le=24 * 30, allow_inf_nan=False)] = 24.0


class EnrolmentCode(Strict):
    """Shown once."""

    device: str
    code: str
    expires_s: float


class EnrolmentAnswer(Strict):
    """A code that was made; ``id`` is the beginning of its digest."""

    id: str
    device: str
    expires_s: float
    used_s: float | None


class TokenRequest(Strict):
    """Somebody is to get in."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$")]
    role: Role


class TokenMade(Strict):
    """Shown once."""

    name: str
    role: Role
    token: str


class TokenAnswer(Strict):
    """Who can get in."""

    name: str
    role: Role
    revoked_s: float | None


class Me(Strict):
    """Who asks."""

    name: str
    role: Role


class ReleaseRequest(Strict):
    """A release that is listed, to be approved."""

    name: Name
    version: Name


class ReleaseAnswer(Strict):
    """``state``: listed, proposed, approved, or withdrawn from the signed list."""

    name: str
    version: str
    manifest: str
    bytes: int | None = None
    state: str
    proposed_by: str = ""
    approved_by: str = ""


class AuditAnswer(Strict):
    """Who did what."""

    id: int
    at_s: float
    who: str
    what: str
    told: dict[str, Any]
