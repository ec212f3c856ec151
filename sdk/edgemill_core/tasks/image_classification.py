"""One class for the whole picture, and which classes are fit to pass."""

from __future__ import annotations

from typing import Literal

from edgemill_core.tasks.classification import Limits, OneOfClasses

__all__ = ["ImageClassification", "Limits"]


class ImageClassification(OneOfClasses):
    """A picture of one of several classes."""

    name: Literal["image-classification"] = "image-classification"
