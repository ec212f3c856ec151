"""A classifier of patches around a place: the six kinds of defect, or good."""

from __future__ import annotations

from backbone import Lite0
from patches import CLASSES
from torch import Tensor, nn


class Classifier(nn.Module):
    """Takes ``float[n, 3, 96, 96]``, normalised; gives ``float[n, 7]`` logits: Lite0 down to stride 16, and a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Lite0(blocks=9)
        self.classes = nn.Linear(self.stem.width, len(CLASSES))

    def forward(self, patches: Tensor) -> Tensor:
        return self.classes(self.stem(patches).mean((2, 3)))
