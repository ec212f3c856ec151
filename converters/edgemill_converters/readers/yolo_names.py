"""The names of YOLO's classes: ``names`` in the data set's YAML, or a text file with one a line."""

from __future__ import annotations

from pathlib import Path

import yaml

from edgemill_core.errors import DataError

_FILES = ("data.yaml", "data.yml", "classes.txt")
_LEVELS = 3
_LARGEST = 1 << 20


def find_names(folder: Path) -> Path:
    """The nearest file of names in ``folder`` or the two above it.

    Raises:
        DataError: there is none.
    """
    for place in [folder, *folder.resolve().parents][:_LEVELS]:
        for name in _FILES:
            if (place / name).is_file():
                return place / name
    raise DataError(
        f"nothing names the classes of {folder}",
        expected=f"{' or '.join(_FILES)} there, or in one of the two folders above",
        got="none",
        fix="write `yolo: {folder: …, names: …}` in the recipe",
    )


def read_names(file: Path) -> dict[int, str]:
    """Names by number.

    Raises:
        DataError: it cannot be read, names nothing, or names something twice.
    """
    try:
        if file.stat().st_size > _LARGEST:
            raise ValueError(f"more than {_LARGEST:,} bytes")
        text = file.read_text(encoding="utf-8-sig")
        names = _in_yaml(text) if file.suffix.lower() in (".yaml", ".yml") else dict(enumerate(_lines(text)))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise _wrong(file, str(error)[:300]) from error
    if not names or len(set(names.values())) != len(names):
        raise _wrong(file, "none" if not names else f"names that are not all different: {', '.join(names.values())}")
    return names


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _in_yaml(text: str) -> dict[int, str]:
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
        raise ValueError("aliases, which may stand for any amount")
    told = yaml.safe_load(text)
    names = told.get("names") if isinstance(told, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not all(isinstance(key, int) for key in names):
        raise ValueError("no `names` with a list, or with numbers and names")
    return {number: str(name) for number, name in names.items()}


def _wrong(file: Path, got: str) -> DataError:
    return DataError(
        f"{file} does not name the classes",
        expected="YAML with `names: [a, b]` or `names: {0: a, 1: b}`, or a text file with one a line, each once",
        got=got,
        fix="mend the file, or name another one with `names:` in the recipe",
    )
