"""TLS as the server speaks it."""

from __future__ import annotations

import ssl
from pathlib import Path

from edgemill_core.errors import InputError


def server_context(folder: Path) -> ssl.SSLContext:
    """With the certificate of this server. A client may show one of the fleet's CA; another, or one that has expired,
    ends the connection.

    Args:
        folder: of the fleet.

    Raises:
        InputError: the files cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_OPTIONAL
    try:
        context.load_verify_locations(folder / "ca.pem")
        load_own(context, folder)
    except (OSError, ssl.SSLError) as error:
        raise InputError(
            f"the certificates in {folder} cannot be used",
            expected="ca.pem, keys/server.pem and keys/server.key.pem",
            got=str(error),
            fix="put keys/ back from where it is kept apart; server.pem is made anew by `edgemill fleet serve`",
        ) from error
    return context


def load_own(context: ssl.SSLContext, folder: Path) -> None:
    """Read the server's certificate again; whoever connects from now on sees it."""
    context.load_cert_chain(folder / "keys" / "server.pem", folder / "keys" / "server.key.pem")
