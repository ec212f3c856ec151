"""mypy over copies of our files, one for each version, all in one go."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tensorrt_surface import questions
from tensorrt_surface.copies import Copy, Learnt, Question, Version
from tensorrt_surface.rewriting import rewritten

_SETTINGS = """[mypy]
python_version = 3.11
ignore_missing_imports = True
follow_imports = silent
check_untyped_defs = True
disable_error_code = var-annotated
cache_dir = {folder}/cache
"""
_GATE = "def gate(attribute: object) -> bool: ...\n"
Pair = tuple[str, str]
"""A version's stub and a file."""
Place = tuple[int, str]
"""A line of the original and what stands there."""
_ROUNDS = 4
"""What one tells can be what another waits for: a function that gives what another gives."""


@dataclass(frozen=True)
class Complaint:
    """What is wrong.

    Attributes:
        file: of ours, by the name that it was given under.
        line: of it, where the statement begins.
        versions: stubs that it is wrong for; all of them for a name that no version has.
        text: what mypy says.
    """

    file: str
    line: int
    versions: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text} [{', '.join(self.versions)}]"


@dataclass(frozen=True)
class Remark:
    """One of mypy's."""

    line: int
    column: int
    text: str
    is_error: bool

    @property
    def revealed(self) -> bool:
        """Whether it is an answer to ``reveal_type``."""
        return self.text.startswith("Revealed type is ")


def complaints(
    files: Mapping[str, str], stubs: Mapping[str, str], folder: Path, sources: tuple[Path, ...] = ()
) -> list[Complaint]:
    """What is wrong with ``files`` in any version.

    Args:
        files: source by name of module.
        stubs: text of each stub by its name.
        folder: empty, to work in.
        sources: where else our modules lie.
    """
    for name, text in stubs.items():
        folder.joinpath(f"{name}.pyi").write_text(text, "utf-8")
    folder.joinpath("surface_gate.pyi").write_text(_GATE, "utf-8")
    folder.joinpath("mypy.ini").write_text(_SETTINGS.format(folder=folder), "utf-8")
    bench = _Bench(files, stubs, folder, sources)
    for _ in range(_ROUNDS):
        if not bench.go():
            break
    return sorted(bench.complaints(), key=lambda one: (one.file, one.line, one.text))


class _Bench:
    """Two copies of each file for each version: one is checked, the other asks mypy for types."""

    def __init__(
        self, files: Mapping[str, str], stubs: Mapping[str, str], folder: Path, sources: tuple[Path, ...]
    ) -> None:
        self._files, self._folder, self._sources = files, folder, sources
        self._members = {stub: questions.members(text) for stub, text in stubs.items()}
        names = frozenset().union(*map(questions.all_names, self._members.values()))
        self._versions = {stub: Version(stub, {each: _copied(stub, each) for each in files}, names) for stub in stubs}
        self._pairs = [(stub, file) for stub in stubs for file in files]
        self._learnt = {pair: Learnt() for pair in self._pairs}
        self._checked: dict[Pair, Copy] = {}
        self._asking: dict[Pair, Copy] = {}
        self._remarks: dict[Path, list[Remark]] = {}

    def go(self) -> bool:
        """Whether something new was learnt."""
        for pair in self._pairs:
            if pair not in self._checked or self._learnt[pair] != Learnt():
                self._checked[pair] = self._copy(*pair, asking=False)
            if pair not in self._asking or self._learnt[pair].returns:
                self._asking[pair] = self._copy(*pair, asking=True)
        packages = sorted(path.parent.name for path in self._folder.glob("*/__init__.py"))
        self._remarks = _mypy(self._folder, packages, self._sources)
        before = self._learnt
        self._learnt = {pair: Learnt(self._given(*pair), self._had(*pair)) for pair in self._pairs}
        return before != self._learnt

    def _copy(self, stub: str, file: str, *, asking: bool) -> Copy:
        copy = rewritten(self._files[file], self._versions[stub], self._learnt[stub, file], asking=asking)
        path = self._path(stub, file, asking=asking)
        path.parent.mkdir(exist_ok=True)
        path.with_name("__init__.py").touch()
        path.write_text(copy.text, "utf-8")
        return copy

    def _path(self, stub: str, file: str, *, asking: bool) -> Path:
        return self._folder.joinpath(*_copied(stub, file, asking=asking).split(".")).with_suffix(".py")

    def _of(self, stub: str, file: str, *, asking: bool) -> list[Remark]:
        return self._remarks.get(self._path(stub, file, asking=asking), [])

    def _given(self, stub: str, file: str) -> dict[int, str]:
        """What functions give, by the line that they stand on, as far as mypy knows it."""
        found: dict[int, set[str]] = defaultdict(set)
        for question, revealed in self._answers(stub, file, "return"):
            found[int(question.about)].add(revealed.replace(f"{stub}.", "trt."))
        return {line: " | ".join(sorted(types)) for line, types in found.items() if all(map(_sayable, types))}

    def _had(self, stub: str, file: str) -> dict[Place, bool]:
        """Whether there is what gates ask for, where that is known and the same for all of a line."""
        found: dict[Place, set[bool]] = defaultdict(set)
        for question, revealed in self._answers(stub, file, "gate"):
            place = self._asking[stub, file].line(question.line), question.about
            if not questions.tells_nothing(revealed) or revealed == "types.ModuleType":
                found[place].add(questions.has(self._members[stub], stub, revealed, question.about))
        return {place: so.pop() for place, so in found.items() if len(so) == 1}

    def _answers(self, stub: str, file: str, kind: str) -> Iterator[tuple[Question, str]]:
        said = {(each.line, each.column): each.text for each in self._of(stub, file, asking=True) if each.revealed}
        for question in self._asking[stub, file].questions:
            answer = said.get((question.line, question.column))
            if question.kind == kind and answer is not None:
                yield question, answer.partition('"')[2].removesuffix('"')

    def complaints(self) -> Iterator[Complaint]:
        """All, of the last round."""
        wrong: dict[tuple[str, int, str], list[str]] = defaultdict(list)
        for stub, file in self._pairs:
            for remark in self._of(stub, file, asking=False):
                if remark.is_error:
                    line = self._checked[stub, file].line(remark.line)
                    wrong[file, line, remark.text.replace(f"{stub}.", "trt.")].append(stub)
        for (file, line, text), stubs in wrong.items():
            yield Complaint(file, line, tuple(stubs), text)
        for file in self._files:
            yield from self._in_no_version(file, "gate", self._gates, "no version has {}, which this asks for")
            yield from self._in_no_version(
                file, "owner", self._owners, "nothing checks {}: say the type of what it is asked of"
            )

    def _in_no_version(
        self, file: str, kind: str, found: Callable[[str, str], Iterator[tuple[Place, bool]]], text: str
    ) -> Iterator[Complaint]:
        """What should be so in one version at least."""
        so: dict[Place, bool] = {}
        for stub in self._versions:
            copy = self._asking[stub, file]
            asked = (
                (copy.line(each.line), name)
                for each in copy.questions
                if each.kind == kind
                for name in each.about.split()
            )
            so |= {place: False for place in asked if place not in so}
            so |= {place: True for place, is_so in found(stub, file) if is_so}
        for (line, name), is_so in so.items():
            if not is_so:
                yield Complaint(file, line, tuple(self._versions), text.format(name))

    def _gates(self, stub: str, file: str) -> Iterator[tuple[Place, bool]]:
        for question, revealed in self._answers(stub, file, "gate"):
            for name in question.about.split():
                place = self._asking[stub, file].line(question.line), name
                yield place, questions.has(self._members[stub], stub, revealed, name)

    def _owners(self, stub: str, file: str) -> Iterator[tuple[Place, bool]]:
        for question, revealed in self._answers(stub, file, "owner"):
            place = self._asking[stub, file].line(question.line), question.about
            yield place, not questions.tells_nothing(revealed)


def _copied(stub: str, file: str, *, asking: bool = False) -> str:
    return f"{'asks' if asking else 'uses'}_{stub}.{_flat(file)}"


def _flat(module: str) -> str:
    return module.replace(".", "__")


def _sayable(kind: str) -> bool:
    return re.fullmatch(r"(None|Any|trt(\.\w+)+)( \| (None|Any|trt(\.\w+)+))*", kind) is not None and kind != "Any"


def _mypy(folder: Path, packages: list[str], sources: tuple[Path, ...]) -> dict[Path, list[Remark]]:
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--output", "json"]
    done = subprocess.run(
        [*command, *(part for package in packages for part in ("-p", package))],
        cwd=folder,
        env={**os.environ, "MYPYPATH": os.pathsep.join(map(str, (folder, *sources)))},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found: dict[Path, list[Remark]] = defaultdict(list)
    for said in map(json.loads, done.stdout.splitlines()):
        remark = Remark(said["line"], said["column"], said["message"], said["severity"] == "error")
        found[folder / said["file"]].append(remark)
    return found
