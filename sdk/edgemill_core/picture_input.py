"""How a picture becomes an engine's input: declared here, done in ``edgemill_runtimes.frames``.

Crop and resize happen outside the graph; cast, colour order, layout and normalisation are baked into it, so the
engine takes ``uint8[1, height, width, channels]``.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class ResizeMethod(str, Enum):
    """OpenCV's interpolations that we allow; ``area`` is free of aliasing when shrinking."""

    AREA = "area"
    LINEAR = "linear"
    CUBIC = "cubic"


class Colour(str, Enum):
    """The channel order the model was trained on."""

    RGB = "rgb"
    BGR = "bgr"
    GREY = "grey"


class Layout(str, Enum):
    """The memory layout of the model's own input."""

    NCHW = "nchw"
    NHWC = "nhwc"


class Region(BaseModel):
    """A rectangle in pixels of the full picture, origin at the top left."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    x: Annotated[int, Field(ge=0)]
    y: Annotated[int, Field(ge=0)]
    width: Annotated[int, Field(gt=0)]
    height: Annotated[int, Field(gt=0)]


class Resize(BaseModel):
    """How the region is brought to ``size``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: ResizeMethod = ResizeMethod.AREA


class Normalise(BaseModel):
    """``(pixel - mean) / std`` per channel, in units of 0 to 255, in the model's channel order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: tuple[float, ...] = (0.0,)
    std: tuple[Annotated[float, Field(gt=0)], ...] = (255.0,)


class PictureInput(BaseModel):
    """Declared pre-processing of one picture.

    Attributes:
        size: width and height in pixels of what the model sees.
        region: the part of the picture to look at; the whole picture if ``None``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: tuple[Annotated[int, Field(gt=0, le=8192)], Annotated[int, Field(gt=0, le=8192)]]
    region: Region | None = None
    resize: Resize = Resize()
    colour: Colour = Colour.RGB
    layout: Layout = Layout.NCHW
    normalise: Normalise = Normalise()

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return 1 if self.colour is Colour.GREY else 3
