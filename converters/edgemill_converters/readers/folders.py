"""Pictures below a folder, in the order of their names, and nothing that lies elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path

from edgemill_converters.readers.complaints import no_folder
from edgemill_core.errors import DataError
from edgemill_core.samples import Sample
from edgemill_runtimes.frames.decode import SUFFIXES


def pictures_below(root: Path, folder: Path, deep: bool = False) -> list[Path]:
    """Pictures in ``folder``, by name; hidden files are left out.

    Args:
        root: of the set; a link that leads out of it is refused.
        folder: ``root``, or a folder in it.
        deep: also those in folders below.

    Raises:
        DataError: there is no such folder, or a link leads out of ``root``.
    """
    if not folder.is_dir():
        raise no_folder(folder, "pictures")
    found = [path for path in _files(root, folder, deep) if path.suffix.lower() in SUFFIXES]
    return sorted(found)


def folders_in(root: Path, folder: Path) -> list[Path]:
    """Folders directly in ``folder``, by name; hidden ones are left out.

    Raises:
        DataError: there is no such folder, or a link leads out of ``root``.
    """
    if not folder.is_dir():
        raise no_folder(folder, "folders")
    found = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    for path in found:
        check_inside(root, path)
    return found


def check_inside(root: Path, path: Path) -> None:
    """Refuse what a link, or ``..``, leads out of ``root``.

    Raises:
        DataError: naming it, and where it leads.
    """
    target, home = os.path.realpath(path), os.path.realpath(root)
    if os.path.commonpath([target, home]) != home:
        raise DataError(
            f"{path} leads out of its folder",
            expected=f"something that lies in {root}",
            got=f"a link to {target}" if path.is_symlink() else target,
            fix="copy there what it leads to, or name the folder that holds both",
        )


def in_turn(kinds: Iterable[Sequence[Sample]]) -> list[Sample]:
    """One of each kind after the other, so that the first few show all kinds."""
    return [sample for sample in chain.from_iterable(zip_longest(*kinds)) if sample is not None]


def by_stem(pictures: Iterable[Path]) -> Mapping[str, Path]:
    """Pictures by their names without the suffix.

    Raises:
        DataError: two differ in nothing else; a file of labels would be of both.
    """
    found: dict[str, Path] = {}
    for picture in pictures:
        stem = str(picture.with_suffix(""))
        if stem in found:
            raise DataError(
                f"{picture.name} and {found[stem].name} have the same labels",
                expected="names that differ in more than the suffix",
                got=f"both in {picture.parent}",
                fix="rename or remove one of them",
            )
        found[stem] = picture
    return found


def _files(root: Path, folder: Path, deep: bool) -> Iterator[Path]:
    for here, below, names in os.walk(folder):
        below[:] = [name for name in below if deep and not name.startswith(".")]
        for name in (*below, *names):
            path = Path(here, name)
            if path.is_symlink():
                check_inside(root, path)
        yield from (Path(here, name) for name in names if not name.startswith("."))
