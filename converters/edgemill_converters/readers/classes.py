"""A folder with a folder of pictures for each class, named as the class is; folders below a class's are its own too."""

from __future__ import annotations

from pathlib import Path

from edgemill_converters.readers.folders import folders_in, in_turn, pictures_below
from edgemill_core.errors import DataError
from edgemill_core.samples import Sample, Truth


def read_classes(path: Path) -> list[Sample]:
    """Pictures of all classes in turn; whether a class is good, the task says.

    Raises:
        DataError: no such folder, a class without pictures, pictures beside the classes, or a link that leads out.
    """
    classes = folders_in(path, path)
    stray = pictures_below(path, path)
    if stray or not classes:
        raise DataError(
            f"{path} is no folder of classes",
            expected="a folder of pictures for each class, and no pictures beside them",
            got=f"{stray[0].name} beside them" if stray else "no folder in it",
            fix="move each picture into its class's folder, or name the folder above",
        )
    return in_turn([_of_class(path, folder) for folder in classes])


def _of_class(root: Path, folder: Path) -> list[Sample]:
    found = pictures_below(root, folder, deep=True)
    if not found:
        raise DataError(
            f"class {folder.name!r} has no pictures",
            expected=f"pictures in {folder}",
            got="none",
            fix="put some there, or remove the folder",
        )
    truth = Truth(good=None, class_name=folder.name)
    return [Sample(one.relative_to(root).as_posix(), one, truth=truth) for one in found]
