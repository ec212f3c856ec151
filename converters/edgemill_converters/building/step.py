"""A step: what is done, with what, and what its result depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path

import edgemill_converters
import edgemill_core
import edgemill_runtimes
from edgemill_converters.building.plain import digest_of

Tell = Callable[[str], None]
_BESIDE = ("report", "chaining", "papers")
"""Rooms of ours that no result but the report comes from."""


@dataclass(frozen=True)
class Step:
    """One step, ready to be done.

    Attributes:
        work: a top-level function, called as ``work(into, tell, **given)`` in a child process: it writes its results
            into the empty folder ``into`` and says what it is at with ``tell``. It reads nothing but what it is given.
        given: files and plain values; they must be picklable.
        depends: what the result is a function of (``plain``): digests of contents rather than paths.
        notes: ``work`` also gets ``notes``, a folder that outlives a kill until the step is done.
    """

    work: Callable[..., None]
    given: Mapping[str, object]
    depends: Mapping[str, object] = field(default_factory=dict)
    notes: bool = False

    @property
    def key(self) -> str:
        """Names the result: SHA-256 over ``depends``, the function's name and our own code."""
        return digest_of({"step": self.work.__qualname__, "code": code_digest(), "depends": self.depends})


@cache
def code_digest() -> str:
    """SHA-256 of every source file that a result may come from, so that no result outlives the code that made it."""
    rooms = [Path(str(room.__file__)).parent for room in (edgemill_core, edgemill_runtimes, edgemill_converters)]
    return _digest_of_sources([path for room in rooms for path in _sources(room) if path.parent.name not in _BESIDE])


@cache
def report_digest() -> str:
    """The same of the code that draws the report."""
    return _digest_of_sources(_sources(Path(str(edgemill_converters.__file__)).parent / "report"))


def _sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def _digest_of_sources(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        digest.update(f"{path.parent.name}/{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


@cache
def versions(*parts: str) -> dict[str, str | None]:
    """Versions of installed distributions, ``None`` for those that are not there."""
    return {part: _version(part) for part in parts}


@cache
def runtime_parts() -> tuple[str, ...]:
    """Distributions of runtimes that others have added."""
    return tuple(sorted({point.dist.name for point in entry_points(group="edgemill.runtimes") if point.dist}))


def _version(part: str) -> str | None:
    try:
        return version(part)
    except PackageNotFoundError:
        return None
