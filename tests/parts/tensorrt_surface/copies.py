"""A copy of one file of ours for one version, and what mypy is asked and tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

RUNTIMES = ("tensorrt", "tensorrt_rtx")


@dataclass(frozen=True)
class Question:
    """Where mypy is asked for the type of something.

    Attributes:
        line: of the copy.
        column: counted from 0.
        kind: ``gate``, ``return``, or ``owner`` of an attribute.
        about: the names that are asked for, the line of the function in the original, or the attribute.
    """

    line: int
    column: int
    kind: str
    about: str


@dataclass(frozen=True)
class Version:
    """What a file is rewritten for.

    Attributes:
        stub: module of the stub.
        moved: where copies of other files are to be imported from, by their modules.
        names: of TensorRT's; whose they are is asked where anything has them.
    """

    stub: str
    moved: Mapping[str, str]
    names: frozenset[str] = frozenset()

    @property
    def runtime(self) -> str:
        """The one whose stub it is."""
        return RUNTIMES["rtx" in self.stub]


@dataclass(frozen=True)
class Learnt:
    """What mypy told before of a file in one version, by the lines on which statements of the original begin.

    Attributes:
        returns: what functions annotated ``Any`` give.
        has: whether what is asked at a gate has the name.
    """

    returns: Mapping[int, str] = field(default_factory=dict)
    has: Mapping[tuple[int, str], bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Copy:
    """One file rewritten.

    Attributes:
        lines: of the original, by the copy's, each where its statement begins.
        questions: what mypy is asked.
    """

    text: str
    lines: Mapping[int, int]
    questions: tuple[Question, ...]

    def line(self, of_copy: int) -> int:
        """The original's, for one of the copy."""
        return self.lines[max(line for line in self.lines if line <= of_copy)]
