"""Files one behind the other, each with its length and digest said before; what is read is believed in nothing."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

from pydantic import AfterValidator, Field, ValidationError, model_validator

from edgemill_agent.backup.sealing import PIECE, Opener, Sealer, damaged
from edgemill_core.durable import make_folder
from edgemill_core.validation import Strict, first_complaint

FORM = 1
"""Of the contents; a newer one is refused."""
TOPS = ("box.key", "ledger.db", "settings", "slots", "trust", "updates.json")
"""Everything in a backup lies under one of these."""
SECRET = ("box.key", "settings")
"""Only their owner reads these."""
MOST_FILES = 10_000
_MOST_CONTENTS = 8 << 20
_YEAR_10000_S = 253_402_300_800
"""No calendar of ours says a later one."""
_PART = re.compile(r"(?!\.\.?$)[^/\x00-\x1f\x7f]{1,255}")


def _inside(path: str) -> str:
    parts = path.split("/")
    if parts[0] not in TOPS or len(path) > 1000 or not all(_PART.fullmatch(part) for part in parts):
        raise ValueError("a path inside the state folder")
    return path


class Packed(Strict):
    """A file of the backup.

    Attributes:
        path: relative to the state folder, with ``/``.
    """

    path: Annotated[str, AfterValidator(_inside)]
    bytes: Annotated[int, Field(ge=0, lt=1 << 50)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Contents(Strict):
    """What a backup begins with.

    Attributes:
        device: whose it is.
        made: when, in seconds since 1970 by that box's clock.
        bundles: whether bundles are among the files.
        named: files that agent.yaml names, by their paths here: where they were.
        files: in the order in which they follow.
    """

    form: Annotated[int, Field(ge=1, le=FORM)] = FORM
    device: Annotated[str, Field(min_length=1, max_length=64)]
    made: Annotated[float, Field(ge=0, lt=_YEAR_10000_S, allow_inf_nan=False)]
    bundles: bool
    named: dict[str, str] = Field(default_factory=dict)
    files: Annotated[tuple[Packed, ...], Field(max_length=MOST_FILES)]

    @model_validator(mode="after")
    def _each_once(self) -> Contents:
        paths = {one.path for one in self.files}
        folders = {path[: place.start()] for path in paths for place in re.finditer("/", path)}
        if len(paths) < len(self.files) or paths & folders:
            raise ValueError("each path once")
        return self


@dataclass(frozen=True)
class Content:
    """A file on its way into a backup.

    Attributes:
        of: where it lies, or its bytes.
    """

    path: str
    of: Path | bytes

    def packed(self) -> Packed:
        """With its length and digest."""
        digest, size = hashlib.sha256(), 0
        for piece in self.pieces():
            digest.update(piece)
            size += len(piece)
        return Packed(path=self.path, bytes=size, sha256=digest.hexdigest())

    def pieces(self) -> Iterable[bytes]:
        """Its bytes."""
        if isinstance(self.of, bytes):
            yield self.of
            return
        with self.of.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece


def write_archive(file: BinaryIO, passphrase: str | None, contents: Contents, parts: Iterable[Content]) -> None:
    """Write ``contents``, and each of its ``parts`` in that order."""
    sealer = Sealer(file, passphrase)
    told = contents.model_dump_json().encode()
    sealer.write(len(told).to_bytes(4, "big") + told)
    for part in parts:
        for piece in part.pieces():
            sealer.write(piece)
    sealer.close()


def read_contents(opener: Opener) -> Contents:
    """What is in it.

    Raises:
        InputError: no backup, altered, of a newer Edgemill, or with more or longer files than can be.
    """
    length = int.from_bytes(opener.read(4), "big")
    if length > _MOST_CONTENTS:
        raise damaged(f"contents of {length:,} bytes, where {_MOST_CONTENTS:,} are allowed")
    try:
        return Contents.model_validate_json(opener.read(length))
    except (ValidationError, RecursionError) as error:
        said = first_complaint(error) if isinstance(error, ValidationError) else ("", "", str(error))
        raise damaged(f"its contents are wrong at {said[0]!r}: {said[2]} (expected: {said[1]})"[:300]) from error


def unpack(opener: Opener, contents: Contents, folder: Path, wanted: Iterable[str] = TOPS) -> None:
    """Write the files below ``folder``, which is new; those that are not ``wanted`` are read and left out.

    Raises:
        InputError: something was altered, or is not as long as it says.
    """
    tops = frozenset(wanted)
    for one in contents.files:
        target = folder / one.path if one.path.split("/")[0] in tops else None
        if target is not None:
            make_folder(target.parent)
        _unpack(opener, one, target)
    opener.close()


def _unpack(opener: Opener, one: Packed, target: Path | None) -> None:
    digest, left = hashlib.sha256(), one.bytes
    how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    mode = 0o600 if one.path.split("/")[0] in SECRET else 0o644
    with open(os.open(target, how, mode) if target else os.open(os.devnull, os.O_WRONLY), "wb") as file:
        while left:
            piece = opener.read(min(left, PIECE))
            digest.update(piece)
            file.write(piece)
            left -= len(piece)
    if digest.hexdigest() != one.sha256:
        raise damaged(f"{one.path} is not what its digest says")
