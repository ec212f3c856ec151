"""Label pictures from a seeded generator that knows the truth.

Every part is a function of (seed, index) and of whether it is bad, alone. The truth comes from what was done to the
print, never from what a model reads: a good part carries the right code with every glyph whole, a bad one carries
another code, or at least one of its glyphs is physically gone. Between the mildest destruction and the hardest
nuisance of ``severity`` lies a gap, so that no part is a matter of taste.
"""

from __future__ import annotations

from edgemill.demo.labels.codes import ALPHABET
from edgemill.demo.labels.folder import generate
from edgemill.demo.labels.maker import LabelMaker, Part
from edgemill.demo.labels.paint import REGION, SIZE
from edgemill.demo.labels.severity import FAULTS

__all__ = ["ALPHABET", "FAULTS", "REGION", "SIZE", "LabelMaker", "Part", "generate"]
