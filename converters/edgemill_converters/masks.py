"""Masks of defects, brought to what the model sees."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgemill_core.errors import DataError, InputError
from edgemill_core.picture_input import PictureInput
from edgemill_core.samples import Truth
from edgemill_runtimes.frames import crop, read_picture


def mask_of(truth: Truth, declared: PictureInput, size: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Where the part is defective, in the pixels of a map that is ``size`` wide and high.

    The region is cut out, and each pixel of the map takes the mask's nearest. A good part without a mask is good all
    over; of a bad one without it nobody knows.

    Raises:
        DataError: the mask cannot be read, or is not of the picture that the region is cut from.
    """
    width, height = size
    if truth.mask is None:
        return np.zeros((height, width), np.bool_) if truth.good else None
    try:
        mask = read_picture(truth.mask)
        part = mask if declared.region is None else crop(mask, declared.region)
    except InputError as error:
        raise DataError(
            f"the mask {truth.mask}: {error.what}", expected=error.expected, got=error.got, fix=error.fix
        ) from error
    rows = (np.arange(height) + 0.5) * part.shape[0] / height
    columns = (np.arange(width) + 0.5) * part.shape[1] / width
    drawn = part[np.ix_(rows.astype(np.int64), columns.astype(np.int64))]
    return np.asarray(drawn.any(axis=2), np.bool_)
