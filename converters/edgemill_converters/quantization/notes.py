"""Durable notes of a search: each finding is on the disk before the next one is sought.

One JSON object a line, appended and fsynced. A line that a kill cut short is dropped when the notes are opened again,
so that a search which goes on repeats at most what was being run when it was killed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgemill_core.durable import sync_folder, write_bytes


class Notes:
    """What was found, by name.

    Args:
        path: the file, made if it is not there; ``None`` to remember nothing beyond this object.

    Attributes:
        recalled: how many findings were asked for that an earlier search had noted.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._found: dict[str, Any] = {}
        self.recalled = 0
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._found = _read(path)
        self._earlier = set(self._found)

    def knows(self, name: str) -> bool:
        """Whether something is noted under ``name``."""
        return name in self._found

    def find(self, name: str, seek: Callable[[], Any]) -> Any:
        """What is noted under ``name``; else what ``seek`` gives, which must be JSON-ready, noted."""
        if name not in self._found:
            self._append(name, seek())
        elif name in self._earlier:
            self._earlier.discard(name)
            self.recalled += 1
        return self._found[name]

    def _append(self, name: str, value: Any) -> None:
        if self._path is not None:
            with self._path.open("ab") as file:
                file.write(json.dumps({"name": name, "value": value}, allow_nan=False).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            sync_folder(self._path.parent)
        self._found[name] = value


def _read(path: Path) -> dict[str, Any]:
    content = path.read_bytes() if path.is_file() else b""
    whole, _, torn = content.rpartition(b"\n")
    if torn:
        write_bytes(path, whole + b"\n" if whole else b"")
    lines = [json.loads(line) for line in whole.splitlines()]
    return {line["name"]: line["value"] for line in lines}
