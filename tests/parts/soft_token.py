"""A hardware token that is none: SoftHSM, with one ECDSA key, behind the same PKCS#11 library call as a real one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

LIBRARIES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")
PIN = "471108"
KEYID = 2


def soft_token(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Put one in; skips, loudly, where SoftHSM or the Python package for PKCS#11 is missing."""
    library = next((path for path in LIBRARIES if Path(path).exists()), None)
    if library is None or shutil.which("softhsm2-util") is None:
        pytest.skip("SKIPPED: softhsm2 is not installed, so nothing showed that tokens sign (CI runs this)")
    pkcs11 = pytest.importorskip(
        "pkcs11", reason="SKIPPED: pip install 'edgemill[hsm]'; nothing showed that tokens sign"
    )
    (folder / "tokens").mkdir(parents=True)
    config = folder / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    patch.setenv("SOFTHSM2_CONF", str(config))
    patch.setenv("PYKCS11LIB", library)
    command = ["softhsm2-util", "--init-token", "--free", "--label", "vault", "--pin", PIN, "--so-pin", "00000000"]
    subprocess.run(command, check=True, capture_output=True)
    token = pkcs11.lib(library).get_token(token_label="vault")
    with token.open(user_pin=PIN, rw=True) as session:
        curve = pkcs11.util.ec.encode_named_curve_parameters("secp256r1")
        made = session.create_domain_parameters(pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: curve}, local=True)
        made.generate_keypair(id=bytes([KEYID]), label="release", store=True)
