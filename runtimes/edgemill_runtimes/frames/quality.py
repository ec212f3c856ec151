"""Whether a camera is still looking: too dark, too bright, blurred, frozen, moved."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from math import hypot

import numpy as np
from numpy.typing import NDArray

from edgemill_core.picture_quality import PictureQuality
from edgemill_core.verdict import Decision
from edgemill_runtimes.frames.decode import Frame, read_picture
from edgemill_runtimes.frames.opencv import cv2

_SIDE = 256
"""Longest side at which a shift is looked for; what is found is accurate to a fraction of a pixel there."""
_ALIKE = 0.05
"""Peak of the phase correlation, 0 to 1, below which nothing of the reference is seen again."""


@dataclass(frozen=True)
class Unfit:
    """Why a picture cannot be judged.

    Attributes:
        what: ``dark``, ``bright``, ``blurred``, ``frozen`` or ``moved``.
        why: in words, with the figures.
    """

    what: str
    why: str


class QualityGate:
    """Looks at one camera's pictures in their order.

    Raises:
        InputError: the reference picture cannot be read.
    """

    def __init__(self, settings: PictureQuality) -> None:
        self._settings = settings
        self._reference = None if settings.reference is None else _grey(read_picture(settings.reference))
        self._small = None if self._reference is None else _small(self._reference)
        self._digest = b""
        self._same = 0

    @property
    def decision(self) -> Decision:
        """What a part is whose picture fails."""
        return Decision(self._settings.decision)

    def look(self, frame: Frame) -> Unfit | None:
        """What is wrong with this picture, ``uint8[height, width, 3]``, if anything is."""
        frozen = self._frozen(frame)
        grey = _grey(frame)
        return frozen or self._light(grey) or self._blurred(grey) or self._moved(grey)

    def _frozen(self, frame: Frame) -> Unfit | None:
        if self._settings.frozen_after is None:
            return None
        digest = blake2b(np.ascontiguousarray(frame).data, digest_size=16).digest()
        self._same = self._same + 1 if digest == self._digest else 1
        self._digest = digest
        if self._same < self._settings.frozen_after:
            return None
        return Unfit("frozen", f"the camera gave the same picture {self._same} times in a row")

    def _light(self, grey: Frame) -> Unfit | None:
        mean, settings = float(grey.mean()), self._settings
        if settings.min_mean is not None and mean < settings.min_mean:
            return Unfit("dark", f"the picture is too dark: mean {mean:.1f}, at least {settings.min_mean:g}")
        if settings.max_mean is not None and mean > settings.max_mean:
            return Unfit("bright", f"the picture is too bright: mean {mean:.1f}, at most {settings.max_mean:g}")
        return None

    def _blurred(self, grey: Frame) -> Unfit | None:
        least = self._settings.min_sharpness
        if least is None:
            return None
        found = sharpness(grey)
        return None if found >= least else Unfit("blurred", f"the picture is blurred: {found:.1f}, at least {least:g}")

    def _moved(self, grey: Frame) -> Unfit | None:
        if self._reference is None or self._small is None:
            return None
        if grey.shape != self._reference.shape:
            sizes = [f"{shape[1]} x {shape[0]}" for shape in (grey.shape, self._reference.shape)]
            return Unfit("moved", f"the picture is {sizes[0]} pixels, the reference {sizes[1]}")
        # Kuglin and Hines 1975, "The phase correlation image alignment method".
        window = cv2.createHanningWindow(self._small.shape[::-1], cv2.CV_32F)
        (x, y), alike = cv2.phaseCorrelate(self._small, _small(grey), window)
        shift = hypot(x, y) * max(grey.shape) / max(self._small.shape)
        if alike < _ALIKE:
            return Unfit("moved", f"nothing of the reference is seen again (likeness {alike:.2f})")
        if shift > self._settings.max_shift:
            return Unfit("moved", f"the camera moved: {shift:.0f} pixels, at most {self._settings.max_shift:g}")
        return None


def sharpness(grey: Frame) -> float:
    """Variance of the Laplacian (Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy")."""
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def _grey(frame: Frame) -> Frame:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), np.uint8)


def _small(grey: Frame) -> NDArray[np.float32]:
    scale = _SIDE / max(grey.shape)
    if scale >= 1:
        return grey.astype(np.float32)
    size = (max(2, round(grey.shape[1] * scale)), max(2, round(grey.shape[0] * scale)))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)
