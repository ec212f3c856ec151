"""Boxes in Pascal VOC's XML (http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/index.html).

``Annotations/a.xml`` labels a picture in ``JPEGImages``; where there are no such folders, both lie side by side. Pixels
count from 1 and both ends belong to the box, so that one from 1 to the width spans the picture. What is ``difficult``
counts neither way. A picture without a file of its own is not labelled.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edgemill_converters.readers.complaints import check_unique, no_folder
from edgemill_converters.readers.folders import by_stem, check_inside, pictures_below
from edgemill_converters.readers.voc_xml import Annotated, read_annotation
from edgemill_core.errors import DataError
from edgemill_core.samples import Sample, Truth

_LARGEST = 1 << 26


def read_voc(path: Path, part: str | None = None) -> list[Sample]:
    """Every picture of the set, or of one of its parts.

    Args:
        path: the folder with ``Annotations`` and ``JPEGImages``, or with both kinds of files.
        part: a list in ``ImageSets/Main``, e.g. ``val``.

    Raises:
        DataError: no such folder or part, malformed XML or one that declares entities, a box that is none or lies
            outside of its picture, labels of a picture that is not there; the message names file and line.
    """
    if not path.is_dir():
        raise no_folder(path, "pictures and labels")
    laid_out = (path / "Annotations").is_dir()
    labels, pictures = (path / "Annotations", path / "JPEGImages") if laid_out else (path, path)
    found = {Path(stem).name: picture for stem, picture in by_stem(pictures_below(path, pictures)).items()}
    files = {file.stem: file for file in sorted(labels.glob("*.xml"))}
    wanted = _wanted(path, part) if part is not None else sorted({*found, *files})
    samples = [_sample(path, pictures, stem, files.get(stem), found.get(stem)) for stem in wanted]
    labelled = {sample.id for sample in samples if sample.truth is not None}
    samples = [sample for sample in samples if sample.truth is not None or sample.id not in labelled]
    check_unique(path, samples)
    return samples


def _wanted(root: Path, part: str) -> list[str]:
    file = root / "ImageSets" / "Main" / f"{part}.txt"
    try:
        if file.stat().st_size > _LARGEST:
            raise ValueError(f"more than {_LARGEST:,} bytes")
        names = [line.split()[0] for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        _check_once(names)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{file} is no list of pictures",
            expected="a name without suffix a line, each once",
            got=str(error),
            fix="mend the list, or `part:` in the recipe",
        ) from error
    return names


def _check_once(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for number, name in enumerate(names, 1):
        if name in seen:
            raise ValueError(f"{name} twice, the second time as number {number}")
        seen.add(name)


def _sample(root: Path, pictures: Path, stem: str, file: Path | None, picture: Path | None) -> Sample:
    if file is None:
        if picture is None:
            raise _missing(f"{stem}, which a list names,", pictures / stem)
        return Sample(picture.name, picture)
    check_inside(root, file)
    told = read_annotation(file)
    named = _named(root, pictures, file, told, picture)
    good = all(box.ignored for box in told.boxes)
    return Sample(named.name, named, truth=Truth(good=good, boxes=told.boxes, size=told.size))


def _named(root: Path, pictures: Path, file: Path, told: Annotated, picture: Path | None) -> Path:
    """The picture that a file of labels is of: one that is called like it, or the one it names.

    Names within are often those of before somebody renamed the files.
    """
    if picture is not None:
        return picture
    name = told.picture
    if name and Path(name).name == name and (pictures / name).is_file():
        check_inside(root, pictures / name)
        return pictures / name
    raise _missing(str(file), pictures / (name or file.stem))


def _missing(what: str, expected: Path) -> DataError:
    return DataError(
        f"{what} labels a picture that is not there",
        expected=str(expected),
        got="no such file",
        fix="add the picture, or remove its labels",
    )
