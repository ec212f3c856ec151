"""Pictures from a folder, in the order of their names, each once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from edgemill_agent.sources.base import Arrival, Source
from edgemill_core.codes import read_codes
from edgemill_core.errors import InputError
from edgemill_runtimes.frames import read_picture
from edgemill_runtimes.frames.decode import SUFFIXES

_LOOK_S = 0.2
_HELD_BYTES = 256 << 20


class FolderSource(Source):
    """Watches a folder. Whoever writes pictures there gives them rising names and renames them into place.

    With ``loop`` it gives what is there again and again, in numbered rounds: a line to try things out on. Its pictures
    are decoded once, as long as memory for them lasts.
    """

    def parts(self) -> Iterator[Arrival | None]:
        """Pictures behind the last one taken; one that cannot be read comes with its fault."""
        folder = Path(self.settings["folder"])
        labels = self.settings.get("labels")
        codes = read_codes(Path(labels)) if labels else {}
        if self.settings.get("loop"):
            yield from self._rounds(folder, codes)
        while True:
            for path in _behind(folder, self.after):
                self.after = path.name
                yield _arrival(path, codes.get(path.name))
            if self.settings.get("once"):
                return
            yield None
            time.sleep(_LOOK_S)

    def _rounds(self, folder: Path, codes: Mapping[str, str]) -> Iterator[Arrival | None]:
        decoded = _Decoded()
        while True:
            turn, _, after = self.after.rpartition("/")
            for path in _behind(folder, after):
                self.after = f"{turn or '0' * 9}/{path.name}"
                yield replace(decoded.arrival(path, codes.get(path.name)), item=self.after)
            self.after = f"{int(turn or 0) + 1:09d}/"
            yield None


class _Decoded:
    """Arrivals of pictures that do not change, held up to ``_HELD_BYTES``."""

    def __init__(self) -> None:
        self._held: dict[str, Arrival] = {}
        self._left = _HELD_BYTES

    def arrival(self, path: Path, expected: str | None) -> Arrival:
        """Of this picture."""
        found = self._held.get(path.name) or _arrival(path, expected)
        if path.name not in self._held and found.frame is not None and found.frame.nbytes <= self._left:
            self._left -= found.frame.nbytes
            self._held[path.name] = found
        return found


def _behind(folder: Path, after: str) -> list[Path]:
    try:
        names = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.name > after]
    except OSError as error:
        raise InputError(
            f"the source's folder {folder} cannot be read",
            expected="a folder of pictures",
            got=str(error),
            fix="mend `folder:` under the station's `source:`, or mount what is missing",
        ) from error
    return sorted(names, key=lambda path: path.name)


def _arrival(path: Path, expected: str | None) -> Arrival:
    context = {"expected": expected} if expected else {}
    try:
        return Arrival(path.name, read_picture(path), context)
    except InputError as error:
        return Arrival(path.name, None, context, error.what)
