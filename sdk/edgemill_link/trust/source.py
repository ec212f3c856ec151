"""Where metadata, manifests and blobs are read from: a static file server, or a folder such as a stick's.

Neither is trusted: both are bounded in bytes and in time, and nothing that they say of a file is believed.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgemill_core.errors import LinkError
from edgemill_link.fleet_door import refusal
from edgemill_link.trust.rate import Rate
from edgemill_link.trust.refusal import Attack, Refused

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

PIECE = 1 << 16


class Source(Protocol):
    """What can be read from."""

    def read(self, path: str, most: int) -> bytes:
        """A whole file.

        Raises:
            Refused: it is not there, longer than ``most`` bytes, or comes too slowly.
            LinkError: the source cannot be reached, or breaks off.
            IdentityError: a fleet manager does not let this box read.
        """

    def stream(self, path: str, most: int, start: int = 0) -> Iterator[bytes]:
        """Its bytes from ``start`` on, in pieces; at most ``most`` of them.

        Raises:
            Refused, LinkError, IdentityError: as for ``read``.
        """


class FolderSource:
    """A folder, for example on a stick. Only regular files are read, and no link is followed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, path: str, most: int) -> bytes:
        """See ``Source``."""
        return b"".join(self.stream(path, most))

    def stream(self, path: str, most: int, start: int = 0) -> Iterator[bytes]:
        """See ``Source``."""
        with os.fdopen(self._open(path), "rb") as file:
            file.seek(start)
            left = most
            while piece := _reading(lambda: file.read(PIECE), path, self._folder):
                left -= len(piece)
                if left < 0:
                    raise too_much(path, most)
                yield piece

    def _open(self, path: str) -> int:
        place = self._open_folder()
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # opening a pipe would wait for a writer
        try:
            *folders, name = path.split("/")
            if ".." in (*folders, name):
                raise NotADirectoryError("it leads out of the folder")
            for one in folders:
                inner = os.open(one, flags | os.O_DIRECTORY, dir_fd=place)
                os.close(place)
                place = inner
            found = os.open(name, flags, dir_fd=place)
        except FileNotFoundError as error:
            raise missing(path, str(self._folder)) from error
        except OSError as error:
            if error.errno not in (
                None,
                errno.ELOOP,
                errno.ENOTDIR,
                errno.ENXIO,
            ):  # a stick that was drawn is no attack
                raise _unreadable(path, self._folder, error) from error
            raise Refused(
                Attack.ALTERED,
                f"{path} in {self._folder} is not read",
                expected="a file, in folders that are no links",
                got=str(error),
                fix="do not use this copy",
            ) from error
        finally:
            with suppress(OSError):
                os.close(place)
        if not stat.S_ISREG(os.fstat(found).st_mode):
            os.close(found)
            raise Refused(
                Attack.ALTERED,
                f"{path} in {self._folder} is not read",
                expected="a file",
                got="something else of that name",
                fix="do not use this copy",
            )
        return found

    def _open_folder(self) -> int:
        """Whoever named it may have named a link to it; below it none is followed."""
        try:
            return os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise LinkError(
                f"there is nothing at {self._folder}",
                expected="the folder that `edgemill release export` wrote",
                got=str(error),
                fix="put the stick in, or name its folder",
            ) from error


class HttpSource:
    """A static file server, by HTTP or HTTPS.

    Args:
        url: of the folder.
        ca: certificates to believe instead of the system's, as a PEM file.
        certificate: shown to a server that asks for one, with its key in the same PEM file.
        timeout_s: longest wait for a connection, and for the next bytes.
        least_rate: bytes per second that must come on the average after the first ``grace_s``.
        clock: monotonic, in seconds.
        rate: bytes that come per second at most, all files together.
    """

    def __init__(
        self,
        url: str,
        ca: Path | None = None,
        timeout_s: float = 10.0,
        least_rate: float = 1_000.0,
        grace_s: float = 20.0,
        clock: Callable[[], float] = time.monotonic,
        rate: Rate | None = None,
        certificate: Path | None = None,
    ) -> None:
        import urllib3

        self._url = url.rstrip("/")
        self._least_rate, self._grace_s, self._clock, self._rate = least_rate, grace_s, clock, rate
        timeout = urllib3.Timeout(connect=timeout_s, read=timeout_s)
        verified: dict[str, Any] = {"ca_certs": str(ca)} if ca is not None else {}
        shown: dict[str, Any] = {"cert_file": str(certificate)} if certificate is not None else {}
        self._pool = urllib3.PoolManager(timeout=timeout, retries=False, maxsize=2, **verified, **shown)

    def read(self, path: str, most: int) -> bytes:
        """See ``Source``."""
        return b"".join(self.stream(path, most))

    def stream(self, path: str, most: int, start: int = 0) -> Iterator[bytes]:
        """See ``Source``; a server that does not know ranges sends the file from its beginning, which is skipped."""
        answer = self._ask(path, start)
        try:
            skip, left, begun, came = (0 if answer.status == 206 else start), most, self._clock(), 0
            while piece := _reading(lambda: answer.read1(PIECE, decode_content=False), path, self._url):
                came += len(piece)
                self._check_rate(path, came, self._clock() - begun)
                begun += self._rate.let(len(piece)) if self._rate is not None else 0.0
                skip, piece = max(skip - len(piece), 0), piece[skip:]
                left -= len(piece)
                if left < 0:
                    raise too_much(path, most)
                if piece:
                    yield piece
        finally:
            answer.close()

    def _ask(self, path: str, start: int) -> BaseHTTPResponse:
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
        url = f"{self._url}/{path}"
        answer: BaseHTTPResponse = _reading(
            lambda: self._pool.request("GET", url, headers=headers, preload_content=False, redirect=False),
            path,
            self._url,
        )
        if answer.status in (200, 206):
            return answer
        said = answer.read1(PIECE) if _in_words(answer) else b""
        answer.close()
        if said:
            raise refusal(self._url, answer.status, said)
        if answer.status in (403, 404, 410):  # stores of objects say 403 for what is not there
            raise missing(path, self._url)
        raise LinkError(
            f"{self._url} does not give {path}",
            expected="200 or 206",
            got=str(answer.status),
            fix="check the server; what runs here goes on, and it is asked again",
        )

    def _check_rate(self, path: str, came: int, seconds: float) -> None:
        if seconds > self._grace_s and came < self._least_rate * (seconds - self._grace_s):
            raise Refused(
                Attack.SLOW,
                f"{path} comes too slowly",
                expected=f"at least {self._least_rate:g} bytes per second",
                got=f"{came:,} bytes in {seconds:.0f} s",
                fix="check the network, or another server; what came is kept, and it goes on from there",
            )


def _in_words(answer: BaseHTTPResponse) -> bool:
    """Whether it is the fleet manager that refuses, and says why."""
    return answer.status in (401, 403) and answer.headers.get("content-type", "").startswith("application/json")


def missing(path: str, where: str) -> Refused:
    """For what is not there."""
    return Refused(
        Attack.MISSING,
        f"{where} has no {path}",
        expected="what `edgemill release publish` wrote",
        got="no such file",
        fix="check the address, or publish again",
    )


def too_much(path: str, most: int) -> Refused:
    """For a file without an end."""
    return Refused(
        Attack.ENDLESS,
        f"{path} is longer than it may be",
        expected=f"at most {most:,} bytes",
        got="more",
        fix="do not use this server: it sends what nobody signed",
    )


def _reading(read: Callable[[], Any], path: str, where: str | Path) -> Any:
    try:
        return read()
    except Exception as error:  # urllib3 and the kernel have no common root
        raise _unreadable(path, where, error) from error


def _unreadable(path: str, where: str | Path, error: Exception) -> LinkError:
    return LinkError(
        f"{path} cannot be read from {where}",
        expected="a file",
        got=f"{type(error).__name__}: {error}"[:300],
        fix="check the network or the stick; what runs here goes on, and it is asked again",
    )
