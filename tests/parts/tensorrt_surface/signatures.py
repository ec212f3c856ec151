"""Signatures out of the docstrings that pybind11 writes.

``set_shape(self: tensorrt.IOptimizationProfile, input: str, min: tensorrt.Dims, ...) -> None``: where several are
overloaded, they are numbered. Types are our bindings' own, Python's, or C++'s where the bindings forgot to name them.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

_LINE = re.compile(r"^(?:\d+\. )?(?P<name>\w*)\((?P<parameters>.*)\) -> (?P<returns>.+?)(?::)?$")
_FROM_PYTHON = ("*args, **kwargs", "*args")


@dataclass(frozen=True)
class Parameter:
    """One parameter, its type as the docstring has it."""

    name: str
    type: str
    optional: bool = False

    @property
    def named(self) -> bool:
        """Whether a caller may say its name."""
        return not (re.fullmatch(r"arg\d+", self.name) or keyword.iskeyword(self.name) or self.name == "self")


@dataclass(frozen=True)
class Signature:
    """What a function takes and gives."""

    parameters: tuple[Parameter, ...]
    returns: str


def signatures(doc: str | None) -> Iterator[Signature]:
    """Those in a docstring of pybind11's, in its order; nothing where it has none."""
    lines = (doc or "").strip().splitlines()
    if not lines:
        return
    overloaded = len(lines) > 1 and lines[1].strip() == "Overloaded function."
    for line in lines[2:] if overloaded else lines[:1]:
        match = _LINE.match(line.strip())
        if match is None or (overloaded and not re.match(r"\d+\. ", line.strip())):
            continue
        yield Signature(tuple(_parameters(match["parameters"])), match["returns"])


def _parameters(text: str) -> Iterator[Parameter]:
    for number, part in enumerate(split(text)):
        if part == "/":  # only operators have it, and nobody calls those by name
            continue
        declared, _, default = part.partition(" = ")
        name, _, kind = declared.partition(": ")
        parameter = Parameter(name, kind or "object", bool(default))
        yield replace(parameter, name="self") if number == 0 and name == "arg0" else parameter


def split(text: str) -> list[str]:
    """Parts between the commas that stand in no bracket and no quotation."""
    parts, depth, quoted, begun = [], 0, False, 0
    for position, character in enumerate(text):
        quoted ^= character in "'\""
        depth += (character in "([{<") - (character in ")]}>") if not quoted else 0
        if character == "," and depth == 0 and not quoted:
            parts.append(text[begun:position].strip())
            begun = position + 1
    return [part for part in [*parts, text[begun:].strip()] if part]
