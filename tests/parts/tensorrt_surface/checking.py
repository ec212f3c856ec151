"""mypy over copies of our files, one for each version, all in one go."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tensorrt_surface import gates
from tensorrt_surface.rewriting import Copy, Span, rewritten

_SETTINGS = """[mypy]
python_version = 3.11
ignore_missing_imports = True
follow_imports = silent
check_untyped_defs = True
disable_error_code = var-annotated
cache_dir = {folder}/cache
"""
_GATE = "def gate(attribute: object) -> bool: ...\n"
_REVEALED = re.compile(r'Revealed type is "(.*)"')
_ROUNDS = 3
"""Functions that give what another gives, one behind the other."""


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
    """Two copies of each file for each version: one is checked, of the other mypy tells what it asks (``asking``)."""

    def __init__(
        self, files: Mapping[str, str], stubs: Mapping[str, str], folder: Path, sources: tuple[Path, ...]
    ) -> None:
        self._files, self._stubs, self._folder, self._sources = files, stubs, folder, sources
        self._pairs = [(stub, file) for stub in stubs for file in files]
        self._returns: dict[tuple[str, str], dict[str, str]] = {pair: {} for pair in self._pairs}
        self._checked: dict[tuple[str, str], Copy] = {}
        self._asking: dict[tuple[str, str], Copy] = {}
        self._remarks: dict[Path, list[Remark]] = {}

    def go(self) -> bool:
        """Whether something new was learnt of what functions give."""
        for pair in self._pairs:
            self._checked[pair] = self._copy(*pair, asking=False)
            self._asking[pair] = self._copy(*pair, asking=True)
        self._remarks = _mypy(
            self._folder, sorted(path.parent.name for path in self._folder.glob("*/__init__.py")), self._sources
        )
        before = {pair: dict(known) for pair, known in self._returns.items()}
        for pair in self._pairs:
            self._returns[pair] |= self._given(*pair)
        return before != self._returns

    def _copy(self, stub: str, file: str, *, asking: bool) -> Copy:
        moved = {each: f"uses_{stub}.{_flat(each)}" for each in self._files}
        copy = rewritten(self._files[file], stub, moved, self._returns[stub, file], asking=asking)
        path = self._path(stub, file, asking=asking)
        path.parent.mkdir(exist_ok=True)
        path.with_name("__init__.py").touch()
        path.write_text(copy.text, "utf-8")
        return copy

    def _path(self, stub: str, file: str, *, asking: bool) -> Path:
        return self._folder / f"{'asks' if asking else 'uses'}_{stub}" / f"{_flat(file)}.py"

    def _of(self, stub: str, file: str, *, asking: bool) -> list[Remark]:
        return self._remarks.get(self._path(stub, file, asking=asking), [])

    def _given(self, stub: str, file: str) -> dict[str, str]:
        """What functions give, by the line that they stand on, as far as mypy knows it."""
        found: dict[str, set[str]] = defaultdict(set)
        for span in self._asking[stub, file].returns:
            found[span.about] |= {each.replace(f"{stub}.", "trt.") for each in self._revealed(stub, file, span)}
        return {line: " | ".join(sorted(types)) for line, types in found.items() if types and all(map(_sayable, types))}

    def _revealed(self, stub: str, file: str, span: Span) -> list[str]:
        within = (each for each in self._of(stub, file, asking=True) if span.has(each.line, each.column))
        return [found[1] for found in (_REVEALED.fullmatch(each.text) for each in within) if found]

    def complaints(self) -> Iterator[Complaint]:
        """All, of the last round."""
        wrong: dict[tuple[str, int, str], list[str]] = defaultdict(list)
        for stub, file in self._pairs:
            copy = self._checked[stub, file]
            for line, text in copy.holes:
                wrong[file, line, text].append(stub)
            for remark in self._of(stub, file, asking=False):
                if remark.is_error:
                    wrong[file, copy.line(remark.line), remark.text.replace(f"{stub}.", "trt.")].append(stub)
        for (file, line, text), stubs in wrong.items():
            yield Complaint(file, line, tuple(stubs), text)
        for file in self._files:
            yield from self._never_open(file)

    def _never_open(self, file: str) -> Iterator[Complaint]:
        """Gates for what no version has."""
        opened: dict[tuple[int, str], bool] = defaultdict(bool)
        for stub in self._stubs:
            for place, has in self._gates(stub, file):
                opened[place] |= has
        for (line, name), any_has in opened.items():
            if not any_has:
                yield Complaint(file, line, tuple(self._stubs), f"no version has {name}, which this asks for")

    def _gates(self, stub: str, file: str) -> Iterator[tuple[tuple[int, str], bool]]:
        copy, known = self._asking[stub, file], gates.members(self._stubs[stub])
        for gate in copy.gates:
            for revealed in self._revealed(stub, file, gate):
                for name in gate.about.split():
                    yield (copy.line(gate.line), name), gates.has(known, stub, revealed, name)


def _flat(module: str) -> str:
    return module.replace(".", "__")


def _sayable(kind: str) -> bool:
    return re.fullmatch(r"None|trt(\.\w+)+( \| None)?", kind) is not None


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
