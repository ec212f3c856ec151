"""YAML that remembers on which line each key stands, so that an error can name the line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from edgemill_core.errors import EdgemillError

Lines = dict[str, int]
_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
"""Recipes that list a thousand classes are read ten times as fast in C."""
_DEEPEST = 50


def read_yaml(path: Path, noun: str, error_class: type[EdgemillError]) -> tuple[dict[str, Any], Lines]:
    """Read a YAML mapping and the line (from 1) of every dotted key.

    Args:
        path: the file.
        noun: what the file should hold, e.g. ``recipe``.
        error_class: raised when there is no such file, or it is not UTF-8, not YAML, has a key twice, or is no mapping.
    """
    if not path.is_file():
        raise error_class(
            f"there is no {noun} at {path}", expected="a YAML file", got="no such file", fix="check the path"
        )
    try:
        text = path.read_text(encoding="utf-8")
        _check_depth(text)
        loader = _LOADER(text)
        try:
            node = loader.get_single_node()
            lines = dict(_walk(node, "")) if node is not None else {}
            loaded = loader.construct_document(node) if node is not None else None
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise error_class(
            f"{path} is not YAML", expected="valid YAML in UTF-8", got=str(error)[:300], fix="mend the line it names"
        ) from error
    if not isinstance(loaded, dict):
        raise error_class(
            f"{path} holds no {noun}",
            expected="keys and values",
            got=type(loaded).__name__,
            fix=f"start from the {noun} in the guide",
        )
    return loaded, lines


def _check_depth(text: str) -> None:
    """The C reader goes down by recursion, and a file that is nested without end would crash it."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise yaml.YAMLError(f"nested more than {_DEEPEST} deep")


def _walk(node: yaml.Node, prefix: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.YAMLError(f"a key is no plain word (line {key.start_mark.line + 1})")
            if key.value in seen:
                raise yaml.YAMLError(f"key {key.value!r} stands twice (line {key.start_mark.line + 1})")
            seen.add(key.value)
            path = f"{prefix}{key.value}"
            yield path, key.start_mark.line + 1
            yield from _walk(value, f"{path}.")
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield f"{prefix}{index}", value.start_mark.line + 1
            yield from _walk(value, f"{prefix}{index}.")


def line_of(lines: Lines, where: str) -> int | None:
    """The line of ``where``, or of the nearest key above it."""
    while where and where not in lines:
        where = where.rpartition(".")[0]
    return lines.get(where)
