"""What box and fleet say to each other before they can know each other: codes, certificates, and their renewal.

::

    person ── code ──▶ box                     an address, a secret, and the digest of the fleet's CA certificate
    box ── GET  AUTHORITY ──▶ CA certificate   over TLS that nothing vouches for yet; believed if the digest fits
    box ── POST ENROL     ──▶ Enrolled         over TLS that this CA vouches for: only now is the secret sent
    box ── POST RENEW     ──▶ Renewed          likewise; without a client certificate, so that an expired one can renew

A code lets one box in, once. Said again with the same CSR it is answered again with the same certificate, for as long
as the code holds: the answer may have been lost under way. With another CSR it is refused.

A renewal is signed with the key of the certificate that it takes the place of. The key of the new one may be another;
who repeats the request of somebody else gets a certificate to a key that he does not have.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field

from edgemill_core.errors import InputError
from edgemill_core.validation import Strict

AUTHORITY = "/v1/authority"
"""GET: the CA's certificate, PEM, to anybody."""
ENROL = "/v1/enrol"
"""POST ``EnrolRequest`` → ``Enrolled``."""
RENEW = "/v1/renew"
"""POST ``RenewRequest`` → ``Renewed``."""
RELEASES = "/releases"
"""The folder of releases; static files."""

MOST_BYTES = 1 << 17
"""Of any answer, and of any request."""
SECRET_BYTES = 16
_DIGEST_BYTES = 32
_FORM = re.compile(r"^[A-Za-z0-9_-]{64}$")

DeviceId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
"""As in ``agent.yaml``, in topics, and as the common name of certificates."""
Pem = Annotated[str, Field(max_length=1 << 15, pattern=r"^\s*-----BEGIN [A-Z ]+-----")]


class EnrolRequest(Strict):
    """A box asks to be let in.

    Attributes:
        secret: of its code, as in ``Code.secret``, hex.
        device: who it is; has to be the device that the code was made for.
        csr: PKCS #10, signed with the box's key; of what it says only the key counts.
    """

    secret: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    device: DeviceId
    csr: Pem


class Enrolled(Strict):
    """It is let in.

    Attributes:
        device: common name of the certificate.
        certificate: the box's, and any between it and the CA.
        ca: certificates of the CA: one, or old and new while one follows the other.
        root: the TUF root that releases are believed by; text of ``1.root.json`` or a later one.
        broker: ``mqtts://host:port``; empty if the fleet has none.
    """

    device: DeviceId
    certificate: Pem
    ca: Pem
    root: Annotated[str, Field(max_length=1 << 16)]
    broker: Annotated[str, Field(max_length=300, pattern=r"^(mqtts?://[^\s/]+)?$")] = ""


class RenewRequest(Strict):
    """A box asks for a certificate in the place of the one it has, which may have expired.

    Attributes:
        certificate: the one it has.
        csr: for the next one.
        proof: signature over ``renewal_statement`` with the key of ``certificate`` (ECDSA with SHA-256, DER), hex.
    """

    certificate: Pem
    csr: Pem
    proof: Annotated[str, Field(pattern=r"^([0-9a-f]{2}){8,256}$")]


class Renewed(Strict):
    """See ``Enrolled``."""

    certificate: Pem
    ca: Pem
    broker: Annotated[str, Field(max_length=300, pattern=r"^(mqtts?://[^\s/]+)?$")] = ""


def renewal_statement(certificate: str, csr: str) -> bytes:
    """What is signed to renew: both texts as they stand in the request, by digest."""
    digests = [sha256(text.encode()).hexdigest() for text in (certificate, csr)]
    return "\n".join(["edgemill renewal 1", *digests, ""]).encode()


@dataclass(frozen=True)
class Code:
    """Everything that a box needs to enrol; a URL whose fragment is never sent to anybody.

    Attributes:
        url: of the fleet, ``https://host[:port]``.
        secret: hex; whoever has it can be this device once.
        ca: SHA-256 of the CA's certificate (DER), hex: ``openssl x509 -fingerprint -sha256`` says the same.
    """

    url: str
    secret: str
    ca: str

    def __str__(self) -> str:
        both = bytes.fromhex(self.secret) + bytes.fromhex(self.ca)
        return f"{self.url}#{base64.urlsafe_b64encode(both).decode()}"

    @property
    def digest(self) -> str:
        """What the fleet keeps in the place of the secret."""
        return secret_digest(self.secret)


def secret_digest(secret: str) -> str:
    """SHA-256 of the bytes that ``secret`` spells in hex; it is random, so nothing slower is needed."""
    return sha256(bytes.fromhex(secret)).hexdigest()


def make_code(url: str, ca: str) -> Code:
    """A new one.

    Args:
        url: under which boxes reach the fleet.
        ca: SHA-256 of its CA certificate, hex.
    """
    return Code(url.rstrip("/"), secrets.token_hex(SECRET_BYTES), ca)


def read_code(text: str) -> Code:
    """Of what a person typed or pasted.

    Raises:
        InputError: it is none; the message does not repeat it, because part of it may be a secret.
    """
    url, _, fragment = text.strip().partition("#")
    try:
        parts = urlsplit(url)
        bad_port = parts.port == 0
    except ValueError:
        raise _no_code("an address that cannot be read") from None
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.query or bad_port:
        raise _no_code("no https:// address before the #")
    try:
        both = base64.b64decode(fragment, altchars=b"-_", validate=True) if _FORM.match(fragment) else b""
    except binascii.Error:
        both = b""
    if len(both) != SECRET_BYTES + _DIGEST_BYTES:
        raise _no_code(f"{len(fragment)} characters after the #")
    return Code(url.rstrip("/"), both[:SECRET_BYTES].hex(), both[SECRET_BYTES:].hex())


def _no_code(got: str) -> InputError:
    return InputError(
        "this is no enrolment code",
        expected="https://FLEET#… with 64 characters after the #, as `edgemill fleet enrol` said it",
        got=got,
        fix="copy it whole, in quotation marks: a shell takes # for a comment",
    )
