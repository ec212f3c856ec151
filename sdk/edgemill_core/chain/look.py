"""Where a stage looks: boxes in shares become pixels of the whole picture. Pure functions.

A box is in shares of what its finder saw, which may itself be a crop, turned. It is carried back to the whole picture,
so that every crop is cut from the frame as it came and is resized once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgemill_core.chain.stages import Stage
from edgemill_core.inspection.findings import MOST_LISTED, Box, Finding, findings_in
from edgemill_core.picture_input import Region


@dataclass(frozen=True)
class Look:
    """What a model is shown.

    Attributes:
        region: of the whole picture, in pixels.
        rotate: degrees, clockwise, by which it is turned: 0, 90, 180 or 270.
    """

    region: Region
    rotate: int = 0

    def on_picture(self, box: Box) -> tuple[float, float, float, float]:
        """A box in shares of what the model is shown: left, top, right, bottom in pixels of the whole picture."""
        left, top, right, bottom = _unturned(box, self.rotate)
        region = self.region
        return (
            region.x + left * region.width,
            region.y + top * region.height,
            region.x + right * region.width,
            region.y + bottom * region.height,
        )


def _unturned(box: Box, rotate: int) -> tuple[float, float, float, float]:
    left, top, right, bottom = box.left, box.top, box.right, box.bottom
    if rotate == 90:
        return top, 1 - right, bottom, 1 - left
    if rotate == 180:
        return 1 - right, 1 - bottom, 1 - left, 1 - top
    if rotate == 270:
        return 1 - bottom, left, 1 - top, right
    return left, top, right, bottom


@dataclass(frozen=True)
class Crop:
    """One finding that a later stage is to look at.

    Attributes:
        finding: as the finder wrote it down.
        size: width and height in pixels, clipped to the picture; may be 0.
        look: what there is to see; ``None`` where that is too little.
        where: left, top, right, bottom in shares of the whole picture.
    """

    finding: Finding
    size: tuple[int, int]
    look: Look | None
    where: tuple[float, float, float, float]


@dataclass(frozen=True)
class Crops:
    """What a stage is to look at.

    Attributes:
        found: findings of the stage's classes, counted.
        taken: those that are looked at, the surest first.
        surplus: score of the surest one that is not; 0 if there is none.
    """

    found: int = 0
    taken: tuple[Crop, ...] = ()
    surplus: float = 0.0


def crops_in(
    stage: Stage, looks: Sequence[tuple[Look, Mapping[str, Any]]], picture: tuple[int, int], most: int = MOST_LISTED
) -> Crops:
    """What ``stage`` is to look at, given what the stage before it found.

    Args:
        stage: the later one.
        looks: each look of the finder with its reading; what was written down is what is cropped.
        picture: width and height of the whole picture in pixels.
        most: findings that a reading lists at most.
    """
    found, lost, listed = 0, 0.0, []
    for look, reading in looks:
        every = findings_in(reading)
        wanted = [one for one in every if stage.wants(one.kind)]
        counted = sum(count for kind, count in reading.get("found", {}).items() if stage.wants(kind))
        found += counted
        listed += [(one, look) for one in wanted]
        if counted > len(wanted):
            # What is counted but not listed is not surer than what is.
            lost = max(lost, every[-1].score if len(every) >= most else 1.0)
    listed.sort(key=lambda one: -one[0].score)
    taken = tuple(_crop(stage, finding, look, picture) for finding, look in listed[: stage.at_most])
    over = listed[stage.at_most :]
    return Crops(found, taken, max(lost, over[0][0].score if over else 0.0))


def _crop(stage: Stage, finding: Finding, seen: Look, picture: tuple[int, int]) -> Crop:
    left, top, right, bottom = seen.on_picture(finding.box)
    across, down = stage.margin * (right - left), stage.margin * (bottom - top)
    x, y = _within(left - across, picture[0]), _within(top - down, picture[1])
    width, height = _within(right + across, picture[0]) - x, _within(bottom + down, picture[1]) - y
    size = (max(0, width), max(0, height))
    where = (x / picture[0], y / picture[1], (x + size[0]) / picture[0], (y + size[1]) / picture[1])
    if min(size) < stage.smallest:
        return Crop(finding, size, None, where)
    look = Look(Region(x=x, y=y, width=width, height=height), (seen.rotate + stage.rotate) % 360)
    return Crop(finding, size, look, where)


def _within(value: float, limit: int) -> int:
    return min(max(0, round(value)), limit)
