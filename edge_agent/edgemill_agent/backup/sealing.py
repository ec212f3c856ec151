"""Pieces that cannot be read, altered, exchanged, left out or cut off without the passphrase.

The STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár, "Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance", CRYPTO 2015, section 7), as in the file format age: the nonce of a piece is its place and whether it
is the last one. The key comes from the passphrase by scrypt (RFC 7914), which takes 64 MiB of memory, always: what is
read must not say how much.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from typing import BinaryIO, Protocol

from edgemill_core.errors import InputError

MAGIC = b"edgemill-backup 1\n"
PIECE = 1 << 20
TAG = 16
LEAST_PASSPHRASE = 12
_MOST_HEADER = 200
_SCRYPT = "scrypt, chacha20-poly1305"
_PLAIN = "plain"


class _Cipher(Protocol):
    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes: ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes: ...


class _Checksums:
    """No secret: what a disk lost is found, what a person altered is not."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        return data + hashlib.sha256(associated_data + nonce + data).digest()[:TAG]

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        content = data[:-TAG]
        if not hmac.compare_digest(self.encrypt(nonce, content, associated_data), data):
            raise ValueError("other bytes than were written")
        return content


class Sealer:
    """Writes sealed pieces.

    Args:
        file: to write to.
        passphrase: ``None`` for a file that anybody can read.
    """

    def __init__(self, file: BinaryIO, passphrase: str | None) -> None:
        salt = secrets.token_hex(16)
        how = {"sealed": _PLAIN} if passphrase is None else {"sealed": _SCRYPT, "salt": salt}
        header = MAGIC + json.dumps(how).encode() + b"\n"
        file.write(header)
        self._file, self._header = file, header
        self._cipher = _cipher(passphrase, salt)
        self._kept, self._place = bytearray(), 0

    def write(self, data: bytes) -> None:
        """Any number of bytes."""
        self._kept += data
        while len(self._kept) > PIECE:  # one piece is kept back: it may be the last
            self._seal(bytes(self._kept[:PIECE]), last=False)
            del self._kept[:PIECE]

    def close(self) -> None:
        """Write the last piece."""
        self._seal(bytes(self._kept), last=True)

    def _seal(self, data: bytes, last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._place, last), data, self._header))
        self._place += 1


class Opener:
    """Reads what ``Sealer`` wrote; at most two pieces are in memory.

    Args:
        file: to read from.
        passphrase: ``None`` for a file that is said to be plain. Which it is, the file does not decide: a plain one,
            which anybody can have made, would take the place of one that only the passphrase makes.

    Raises:
        InputError: it is no backup, or not of that kind.
    """

    def __init__(self, file: BinaryIO, passphrase: str | None) -> None:
        magic = file.read(len(MAGIC))
        line = file.readline(_MOST_HEADER) if magic == MAGIC else b""
        salt = _salt(magic, line)
        self._file, self._header = file, MAGIC + line
        if (salt is None) != (passphrase is None):
            raise _other_kind(plain=salt is None)
        self._cipher = _cipher(passphrase, salt or "")
        self._read, self._place = bytearray(), 0
        self._next = file.read(PIECE + TAG)

    def read(self, count: int) -> bytes:
        """Just so many bytes.

        Raises:
            InputError: there are fewer, they were altered, or the passphrase is another one.
        """
        while len(self._read) < count:
            self._open()
        data = bytes(self._read[:count])
        del self._read[:count]
        return data

    def close(self) -> None:
        """See that everything was read, to the last piece.

        Raises:
            InputError: there is more.
        """
        while self._next:
            self._open()
        if self._read:
            raise damaged("more behind its end")

    def _open(self) -> None:
        sealed, self._next = self._next, self._file.read(PIECE + TAG)
        if not sealed:
            raise damaged("it ends too early")
        try:
            self._read += self._cipher.decrypt(_nonce(self._place, not self._next), sealed, self._header)
        except Exception as error:  # cryptography's own, and ours
            raise damaged(f"piece {self._place}: {str(error) or 'another passphrase, or altered'}") from error
        self._place += 1


def damaged(got: str) -> InputError:
    """Said of whatever is not as it was written."""
    return InputError(
        "the backup cannot be read",
        expected="what `edgemill agent backup` wrote, and its passphrase",
        got=got,
        fix="say the passphrase again, or take another backup; nothing was changed",
    )


def _other_kind(plain: bool) -> InputError:
    if plain:
        return InputError(
            "the backup is not encrypted",
            expected="one that was made with the passphrase",
            got="a plain one: whoever had it in hand can have written what this box is to trust and to run",
            fix="take the encrypted one; or --plain, if nobody but you had it",
        )
    return InputError(
        "the backup is encrypted",
        expected="a plain one, as was said",
        got="one that was made with a passphrase",
        fix="leave --plain away",
    )


def _nonce(place: int, last: bool) -> bytes:
    return place.to_bytes(11, "big") + bytes([last])


def _salt(magic: bytes, line: bytes) -> str | None:
    """The salt of the passphrase; ``None`` where there is none."""
    if magic != MAGIC:
        raise damaged("another form: of a newer Edgemill, or no backup")
    try:
        how = json.loads(line)
        if how == {"sealed": _PLAIN}:
            return None
        if how["sealed"] == _SCRYPT and len(bytes.fromhex(how["salt"])) == 16:
            return str(how["salt"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise damaged(f"{error}") from error
    raise damaged(f"sealed in another way: {line[:80]!r}")


def _cipher(passphrase: str | None, salt: str) -> _Cipher:
    if passphrase is None:
        return _Checksums()
    if len(passphrase) < LEAST_PASSPHRASE:
        raise InputError(
            "the passphrase is too short",
            expected=f"{LEAST_PASSPHRASE} characters or more: whoever has the file can try as often as he likes",
            got=f"{len(passphrase)}",
            fix="take a few words at random",
        )
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return ChaCha20Poly1305(Scrypt(bytes.fromhex(salt), 32, n=1 << 16, r=8, p=1).derive(passphrase.encode()))
