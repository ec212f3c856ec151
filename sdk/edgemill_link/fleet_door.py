"""The fleet's door, seen from a box: little requests over TLS, bounded in bytes and in time.

Nothing that is anybody's business goes out before the server is known to be the fleet.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from edgemill_core.errors import IdentityError, LinkError
from edgemill_core.validation import first_complaint
from edgemill_link.enrolment import MOST_BYTES

Answer = TypeVar("Answer", bound=BaseModel)
_WAIT_S, _ALL_S = 10.0, 60.0
_SHOWN = 300


def untrusted() -> ssl.SSLContext:
    """For what anybody may read, and is checked by its digest."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def trusting(ca: str) -> ssl.SSLContext:
    """For a server that shows a certificate of this CA (PEM) under the name that it was called by.

    Raises:
        IdentityError: that is no certificate.
    """
    try:
        return ssl.create_default_context(cadata=ca)
    except (ssl.SSLError, ValueError) as error:
        raise IdentityError(
            "the certificate of the fleet's CA cannot be read",
            expected="PEM",
            got=str(error),
            fix="enrol again with --again",
        ) from error


def trusting_file(ca: Path) -> ssl.SSLContext:
    """The same, of a file.

    Raises:
        IdentityError: it is not there, or holds no certificate.
    """
    try:
        return trusting(ca.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise IdentityError(
            f"{ca} cannot be read",
            expected="the CA of the fleet",
            got=str(error),
            fix="enrol again with --again",
        ) from error


def read_text(url: str, path: str, context: ssl.SSLContext) -> str:
    """GET.

    Raises:
        LinkError: the fleet cannot be reached, or does not answer as it should.
        IdentityError: it shows a certificate that is not to be believed, or refuses.
    """
    return _exchange(url, "GET", path, None, context).decode("ascii", errors="replace")


def post(url: str, path: str, said: BaseModel, answer: type[Answer], context: ssl.SSLContext) -> Answer:
    """POST, as JSON.

    Raises:
        LinkError, IdentityError: as for ``read_text``.
    """
    content = _exchange(url, "POST", path, said.model_dump_json().encode(), context)
    try:
        return answer.model_validate_json(content)
    except ValidationError as error:
        where, expected, got = first_complaint(error)
        raise LinkError(
            f"{url} does not answer as a fleet does",
            expected=f"{where}: {expected}",
            got=printable(got),
            fix="check the address; an older agent may not understand a newer fleet",
        ) from error


def printable(text: str) -> str:
    """What a server said, cut to a line that does nothing to a terminal."""
    return "".join(sign if sign.isprintable() else " " for sign in text[:_SHOWN])


def _exchange(url: str, method: str, path: str, body: bytes | None, context: ssl.SSLContext) -> bytes:
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(str(parts.hostname), parts.port or 443, timeout=_WAIT_S, context=context)
    headers = {"Content-Type": "application/json"} if body is not None else {}
    try:
        connection.request(method, parts.path.rstrip("/") + path, body, headers)
        with connection.getresponse() as answer:
            content = _bounded(answer)
    except ssl.SSLCertVerificationError as error:
        raise IdentityError(
            f"{url} is not the fleet that this box belongs to, or not under this name",
            expected=f"a certificate of its CA, for {parts.hostname}, that holds now",
            got=error.verify_message,
            fix="check the address, `names:` in the fleet's settings, and the clock of this box",
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise LinkError(
            f"the fleet at {url} cannot be reached",
            expected="an answer",
            got=f"{type(error).__name__}: {printable(str(error))}",
            fix="check the network and the address; what runs here goes on",
        ) from error
    finally:
        connection.close()
    if answer.status == 200:
        return content
    raise refusal(url, answer.status, content)


def _bounded(answer: http.client.HTTPResponse) -> bytes:
    """Raises ``ValueError`` for what is too long or comes too slowly."""
    until, content = time.monotonic() + _ALL_S, bytearray()
    while piece := answer.read1(1 << 14):
        content += piece
        if len(content) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES:,} bytes")
        if time.monotonic() > until:
            raise ValueError(f"no end of it within {_ALL_S:.0f} s")
    return bytes(content)


def refusal(url: str, status: int, content: bytes) -> IdentityError | LinkError:
    """What to raise for an answer that is none: in the fleet's own words, where it has any."""
    try:
        told = json.loads(content)
        words = {key: printable(str(told[key])) if told.get(key) else None for key in ("what", "expected", "got")}
        fix = printable(str(told.get("fix") or told.get("to_do") or "")) or None
    except (ValueError, KeyError, TypeError, AttributeError):
        words, fix = {"what": None, "expected": None, "got": None}, None
    kind = LinkError if status >= 500 or status == 429 else IdentityError
    if words["what"] is None:
        return kind(
            f"the fleet at {url} refuses", expected="200", got=str(status), fix="check the address, and ask its owner"
        )
    return kind(words["what"], expected=words["expected"], got=words["got"], fix=fix)
