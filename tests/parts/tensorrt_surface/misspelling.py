"""Our own files with one name of TensorRT's misspelled, to see that it is noticed wherever it stands."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping


def misspelled(files: Mapping[str, str], names: Collection[str]) -> Iterator[tuple[str, str]]:
    """Each place in ``files`` where something is asked for one of ``names``, and the file with an x behind it."""
    for module, source in files.items():
        for line, column, said in sorted(_places(source, names)):
            lines = source.splitlines(keepends=True)
            there = lines[line - 1].encode()  # columns are counted in bytes
            lines[line - 1] = (there[:column] + b"x" + there[column:]).decode()
            yield f"{module}:{line}: {said}", "".join(lines)


def _places(source: str, names: Collection[str]) -> Iterator[tuple[int, int, str]]:
    """Lines and columns where names end, with what they stand in."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(attr=name, end_lineno=int(line), end_col_offset=int(column)) if name in names:
                yield line, column, ast.unparse(node)
            case ast.Call(
                func=ast.Name(id="hasattr" | "getattr"),
                args=[_, ast.Constant(value=str(), end_lineno=int(line), end_col_offset=int(column)), *_],
            ):
                yield line, column - 1, ast.unparse(node)
