"""A client of the fleet manager's REST."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import urllib3

from edgemill.cli.columns import printable
from edgemill_core.errors import InputError, LinkError
from edgemill_fleet.access_file import Access, read_access
from edgemill_fleet.refusals import FleetError, NotAllowedError, StrangerError, UnknownError

ACCESS = "EDGEMILL_FLEET_ACCESS"
_TIMEOUT = urllib3.Timeout(connect=10.0, read=60.0)
_KINDS = {401: StrangerError, 403: NotAllowedError, 404: UnknownError}
_PAGE = 1000


def open_fleet(file: Path | None) -> FleetClient:
    """The fleet that an access file leads to: the one named, or ``$EDGEMILL_FLEET_ACCESS``, or the user's own.

    Raises:
        InputError: there is none.
    """
    named = file or (Path(told) if (told := os.environ.get(ACCESS)) else None)
    place = named or Path.home() / ".config" / "edgemill" / "fleet.yaml"
    if not place.exists():
        raise InputError(
            "no way into a fleet is known",
            expected=f"an access file: --access, ${ACCESS}, or {place}",
            got=f"no {place}",
            fix="`edgemill fleet init` writes the first; an admin writes others: edgemill fleet token add",
        )
    return FleetClient(read_access(place))


class FleetClient:
    """Speaks to one fleet as one person."""

    def __init__(self, access: Access) -> None:
        verified: dict[str, Any] = {"ca_cert_data": access.ca} if access.ca else {}
        self.url = access.url.rstrip("/")
        self.ca = access.ca
        self._headers = {"authorization": f"Bearer {access.token}", "content-type": "application/json"}
        self._pool = urllib3.PoolManager(timeout=_TIMEOUT, retries=False, maxsize=1, **verified)

    def get(self, *path: object, **query: object) -> Any:
        """What is there; ``query`` without what is ``None``."""
        asked = {name: value for name, value in query.items() if value is not None}
        return self._ask("GET", _path(path) + (f"?{urlencode(asked)}" if asked else ""))

    def pages(self, *path: object, by: str, after: str, **query: object) -> Iterator[dict[str, Any]]:
        """Everything that is there, page by page.

        Args:
            by: field that pages follow each other by.
            after: parameter that says behind which.
        """
        last: object = None
        while page := self.get(*path, **{**query, after: last, "most": _PAGE}):
            yield from page
            if len(page) < _PAGE:
                return
            last = page[-1][by]

    def post(self, *path: object, content: Mapping[str, Any] | None = None) -> Any:
        """Do something, or make something."""
        return self._ask("POST", _path(path), content)

    def patch(self, *path: object, content: Mapping[str, Any]) -> Any:
        """Change something."""
        return self._ask("PATCH", _path(path), content)

    def delete(self, *path: object) -> Any:
        """End something."""
        return self._ask("DELETE", _path(path))

    def _ask(self, method: str, path: str, content: Mapping[str, Any] | None = None) -> Any:
        body = json.dumps(content).encode() if content is not None else None
        try:
            answer = self._pool.request(method, self.url + path, body=body, headers=self._headers, redirect=False)
            said = json.loads(answer.data) if answer.data else None
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise LinkError(
                f"the fleet at {self.url} does not answer",
                expected="a fleet manager, with the certificate that the access file tells to believe",
                got=printable(f"{type(error).__name__}: {error}")[:300],
                fix="check the address in the access file, and whether `edgemill fleet serve` runs",
            ) from error
        if answer.status < 300:
            return said
        raise _refusal(answer.status, said)


def _path(parts: tuple[object, ...]) -> str:
    return "/v1/" + "/".join(quote(str(part), safe="") for part in parts)


def _refusal(status: int, said: Any) -> FleetError:
    told: Mapping[str, Any] = said if isinstance(said, dict) else {}
    words = {
        name: printable(str(told[name])) if told.get(name) else None for name in ("what", "expected", "got", "to_do")
    }
    return _KINDS.get(status, FleetError)(
        words["what"] or f"the fleet refuses: {status}",
        expected=words["expected"],
        got=words["got"],
        fix=words["to_do"],
    )
