"""One category in the layout of MVTec AD (https://www.mvtec.com/company/research/datasets/mvtec-ad).

::

    train/good/000.png              test/good/000.png
    test/<defect>/000.png           ground_truth/<defect>/000_mask.png
"""

from __future__ import annotations

from pathlib import Path

from edgemill_converters.readers.folders import check_inside, folders_in, in_turn, pictures_below
from edgemill_converters.readers.picture_size import size_of
from edgemill_core.errors import DataError
from edgemill_core.samples import Sample, Truth

_GOOD = "good"
_END = "_mask"


def read_mvtec(path: Path, part: str = "test") -> list[Sample]:
    """Pictures of all kinds in turn; the kind of defect is the class, and each defective part has its mask.

    Args:
        path: the category's folder.
        part: ``train`` (good parts only) or ``test``.

    Raises:
        DataError: no such folder, a kind without pictures, a mask that is missing, is of no picture, or has another
            size than its picture.
    """
    kinds = folders_in(path, path / part)
    if part == "test":
        _check_masks(path, kinds)
    return in_turn([_of_kind(path, folder) for folder in kinds])


def _of_kind(root: Path, folder: Path) -> list[Sample]:
    found = pictures_below(root, folder)
    if not found:
        raise DataError(
            f"{folder} has no pictures", expected="pictures", got="none", fix="put some there, or remove the folder"
        )
    return [_sample(root, picture) for picture in found]


def _sample(root: Path, picture: Path) -> Sample:
    kind, name = picture.parent.name, picture.relative_to(root).as_posix()
    if kind == _GOOD:
        return Sample(name, picture, truth=Truth(good=True, class_name=kind))
    mask = root / "ground_truth" / kind / f"{picture.stem}{_END}.png"
    if not mask.is_file():
        raise DataError(
            f"{picture} has no mask",
            expected=str(mask),
            got="no such file",
            fix="add the mask, or remove the picture",
        )
    check_inside(root, mask)
    sizes = size_of(picture), size_of(mask)
    if sizes[0] != sizes[1]:
        raise DataError(
            f"{mask} is of a picture of another size",
            expected=f"{sizes[0][0]} x {sizes[0][1]} pixels, as {picture} has",
            got=f"{sizes[1][0]} x {sizes[1][1]} pixels",
            fix="draw the mask on this picture, in its own pixels",
        )
    return Sample(name, picture, truth=Truth(good=False, class_name=kind, mask=mask))


def _check_masks(root: Path, kinds: list[Path]) -> None:
    """Refuse masks of pictures that are not there."""
    drawn = root / "ground_truth"
    for folder in folders_in(root, drawn) if drawn.is_dir() else []:
        pictures = {p.stem for kind in kinds if kind.name == folder.name for p in pictures_below(root, kind)}
        for mask in pictures_below(root, folder):
            if mask.stem.removesuffix(_END) not in pictures:
                raise DataError(
                    f"{mask} is the mask of no picture",
                    expected=f"{root / 'test' / folder.name / mask.stem.removesuffix(_END)}.png",
                    got="no such file",
                    fix="add the picture, or remove the mask",
                )
