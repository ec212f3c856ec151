"""The box's own key: Ed25519, made on the box, never leaves it.

Signing happens in a short-lived process, so that the line process carries no cryptography library around.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from edgemill_core.durable import write_bytes
from edgemill_core.errors import LedgerError, MissingPartError
from edgemill_core.ledger import Anchor

KEY = "box.key"
_LIMIT_S = 60


def sign(anchor: Anchor, folder: Path) -> Anchor:
    """``anchor`` with the public key and signature of the box whose key lies in ``folder``; made there if missing.

    Raises:
        LedgerError: the key cannot be read or made.
    """
    command = [sys.executable, "-m", "edgemill_link.signatures", str(folder)]
    try:
        done = subprocess.run(command, input=anchor.statement(), capture_output=True, timeout=_LIMIT_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or b""
        raise LedgerError(
            "the anchor of the ledger cannot be signed",
            expected=f"the box's key in {folder / KEY}, or a folder to make it in",
            got=said.decode(errors="replace").strip()[-300:] or str(error),
            fix="mend what is said here; nothing is trimmed before",
        ) from error
    return Anchor.from_dict(json.loads(done.stdout))


def holds(anchor: Anchor) -> bool:
    """Whether the signature is that of the key which the anchor names, over just this statement.

    Raises:
        MissingPartError: the library for it is not installed.
    """
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise MissingPartError(
            "a signature cannot be checked",
            expected="the Python package cryptography",
            got="it is not installed",
            fix="pip install 'edgemill[agent]'",
        ) from error
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(anchor.key))
        key.verify(bytes.fromhex(anchor.signature), anchor.statement())
    except (InvalidSignature, ValueError):
        return False
    return True


def _sign_here(folder: Path, statement: bytes) -> Anchor:
    from dataclasses import replace

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    path = folder / KEY
    if not path.exists():
        write_bytes(path, Ed25519PrivateKey.generate().private_bytes_raw().hex().encode(), mode=0o600)
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text()))
    unsigned = Anchor.from_dict({**json.loads(statement), "signature": ""})
    named = replace(unsigned, key=key.public_key().public_bytes_raw().hex())
    return named.signed(key.sign(named.statement()).hex())


if __name__ == "__main__":
    print(json.dumps(_sign_here(Path(sys.argv[1]), sys.stdin.buffer.read()).as_dict()))  # noqa: T201
