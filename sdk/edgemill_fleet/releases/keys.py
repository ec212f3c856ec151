"""Keys that sign: in a file, or in a hardware token by PKCS#11, through securesystemslib."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner, HSMSigner, Key, SecretsHandler, Signature, Signer, SSlibKey

from edgemill_core.durable import write_bytes
from edgemill_core.errors import InputError

KEY, PRIVATE = ".key.json", ".pem"


def make_key(folder: Path, name: str) -> Path:
    """Make an Ed25519 key: ``NAME.pem``, which only its owner reads, and ``NAME.key.json``, which says where it is.

    Raises:
        InputError: one of that name is there already.
    """
    _check_new(folder, name)
    file, private = folder / f"{name}{KEY}", folder / f"{name}{PRIVATE}"
    signer = CryptoSigner.generate_ed25519()
    write_bytes(private, signer.private_bytes, mode=0o600)
    _write(file, signer.public_key, f"file2:{private.name}")
    return file


def import_token_key(folder: Path, name: str, keyid: int) -> Path:
    """Say where a key in a hardware token is, by its PKCS#11 id (2 is a PIV token's signing key).

    The token is found by the library that ``PYKCS11LIB`` names; its PIN is asked for whenever it signs.

    Raises:
        InputError: there is no token, no such key in it, or a key of that name is there already.
    """
    _check_new(folder, name)
    file = folder / f"{name}{KEY}"
    try:
        uri, public = HSMSigner.import_(keyid)
    except Exception as error:  # PyKCS11 raises what it likes
        raise InputError(
            f"there is no key {keyid} in a token",
            expected="a token with an ECDSA key, and PYKCS11LIB naming its library",
            got=f"{type(error).__name__}: {error}",
            fix="pip install 'edgemill[hsm]', and put the token in",
        ) from error
    _write(file, public, uri)
    return file


def public_key(file: Path) -> SSlibKey:
    """The public half, of a key or of a file that has no more.

    Raises:
        InputError: it is no key.
    """
    told = _read(file)
    try:
        key = Key.from_dict(str(told["keyid"]), dict(told["public"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _no_key(file, f"{type(error).__name__}: {error}") from error
    assert isinstance(key, SSlibKey)
    return key


def signer_of(file: Path) -> Signer:
    """What signs with the key that ``file`` speaks of.

    Raises:
        InputError: it is no key, or its private half is not there.
    """
    key, uri = public_key(file), str(_read(file).get("signer", ""))
    scheme, _, rest = uri.partition(":")
    if scheme == "file2":
        uri = f"file2:{(file.parent / rest).absolute()}"
    try:
        signer = Signer.from_priv_key_uri(uri, key, cache(_pin))
        return _Token(signer) if isinstance(signer, HSMSigner) else signer
    except Exception as error:  # of files, of tokens, of cryptography
        raise InputError(
            f"the key {file.name} cannot sign",
            expected=f"its private half, {rest or 'in a token'}",
            got=f"{type(error).__name__}: {error}",
            fix="put the stick or token in that holds it",
        ) from error


class _Token(Signer):
    """A token that says in words why it does not sign: it was drawn, or the PIN is another one."""

    def __init__(self, signer: HSMSigner) -> None:
        self._signer = signer

    @property
    def public_key(self) -> Key:
        return self._signer.public_key

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None
    ) -> Signer:
        return cls(HSMSigner.from_priv_key_uri(priv_key_uri, public_key, secrets_handler))

    def sign(self, payload: bytes) -> Signature:
        try:
            return self._signer.sign(payload)
        except Exception as error:  # python-pkcs11 has forty kinds, most of them without a word
            raise InputError(
                f"the token does not sign with key {self.public_key.keyid[:8]}",
                expected=f"token {self._signer.token_label or ''}, its PIN, and PYKCS11LIB naming its library",
                got=f"{type(error).__name__} {error}".strip(),
                fix="put it in, and say the right PIN: most tokens take three wrong ones and no more",
            ) from error


def _check_new(folder: Path, name: str) -> None:
    if any((folder / f"{name}{end}").exists() for end in (KEY, PRIVATE)):
        raise InputError(
            f"there is a key called {name} in {folder}",
            expected="a new name: a key that is written over can sign nothing any more",
            got=name,
            fix="name another",
        )


def _pin(what: str) -> str:
    if told := os.environ.get("EDGEMILL_PIN"):
        return told
    import getpass

    return getpass.getpass(f"{what}: ")


def _write(file: Path, key: Key, uri: str) -> None:
    told = {"keyid": key.keyid, "public": key.to_dict(), "signer": uri}
    write_bytes(file, (json.dumps(told, indent=2) + "\n").encode())


def _read(file: Path) -> dict[str, Any]:
    try:
        told = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise _no_key(file, str(error)) from error
    if not isinstance(told, dict):
        raise _no_key(file, type(told).__name__)
    return told


def _no_key(file: Path, got: str) -> InputError:
    return InputError(
        f"{file} is no key",
        expected=f"a NAME{KEY} as `edgemill release key` writes it",
        got=got,
        fix="make one: edgemill release key FOLDER/NAME",
    )
