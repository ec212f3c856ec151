"""What a picture must be like before an engine is asked: declared here, done in ``edgemill_runtimes.frames``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edgemill_core.validation import Strict

Level = Annotated[float, Field(ge=0, le=255)]


class PictureQuality(Strict):
    """Checks that a camera is still looking; each is made only if it is asked for.

    Attributes:
        min_mean: mean grey, 0 to 255, below which a picture is too dark.
        max_mean: above which it is too bright.
        min_sharpness: variance of its Laplacian below which it is blurred; it grows with contrast and with resolution,
            so take it from good pictures of this camera.
        frozen_after: so many pictures in a row that are the same to the last bit show nothing new; a live camera's
            noise never gives two.
        reference: a picture that the camera took where it should stand.
        max_shift: pixels by which what it sees may be away from the reference.
        decision: what a part is whose picture fails.
    """

    min_mean: Level | None = None
    max_mean: Level | None = None
    min_sharpness: Annotated[float, Field(gt=0)] | None = None
    frozen_after: Annotated[int, Field(ge=2, le=10_000)] | None = None
    reference: Path | None = None
    max_shift: Annotated[float, Field(gt=0)] = 10.0
    decision: Literal["reject", "uncertain"] = "reject"

    @model_validator(mode="after")
    def _asks_something(self) -> PictureQuality:
        checks = ("min_mean", "max_mean", "min_sharpness", "frozen_after", "reference")
        if all(getattr(self, name) is None for name in checks):
            raise ValueError(f"name at least one of: {', '.join(checks)}")
        if self.min_mean is not None and self.max_mean is not None and self.min_mean >= self.max_mean:
            raise ValueError("min_mean is below max_mean")
        return self
