"""Numbers that are one sum over another: wrong characters over characters, or a mean."""

from __future__ import annotations

import numpy as np

from edgemill_core.evidence import Embeddings, Floats, PixelScores, Side
from edgemill_core.set_metrics.base import Rarest, Statistic, Weights, divided, lacking
from edgemill_core.set_metrics.edit_distance import edit_distance
from edgemill_core.verdict import Verdict


class Ratio(Statistic):
    """``sum(over) / sum(under)``.

    Args:
        over, under: ``float64[samples]``; a sample outside the population has 0 under it.
        kind: what the samples are, in words.
        sign: -1 where less is better.
        farthest: how much worse a sample's own ratio may become. A sample with more under it than most weighs more.
    """

    def __init__(self, over: Floats, under: Floats, kind: str, sign: int, farthest: float = 1.0) -> None:
        self._both = np.stack((over, under)).astype(np.float64)
        self.each = sign * divided(over, under)
        there = under[under > 0]
        self.rarest = Rarest(kind, len(there))
        self.most = farthest * float(there.max() / there.mean()) if len(there) else farthest

    def _at(self, weights: Weights) -> Floats:
        over, under = self._both @ weights
        return divided(over, under)


def character_error_rate(side: Side) -> Statistic:
    """Wrong characters over characters of all readable codes: edits that turn what was read into what is printed.

    It may be above 1 where much is read that is not there. Codes of bad parts are not in it: nobody knows what they
    should look like.
    """
    pairs = [(truth.text if truth.good else None, v) for truth, v in zip(side.truths, side.verdicts, strict=True)]
    edits = [0 if text is None else edit_distance(_read(verdict), text) for text, verdict in pairs]
    lengths = [len(text or "") for text, _ in pairs]
    return Ratio(np.array(edits, np.float64), np.array(lengths, np.float64), "codes", -1)


def intersection_over_union(side: Side) -> Statistic:
    """Of what is found and what is drawn, the mean over pictures that show a defect.

    Raises:
        DataError: the task scores no pixels.
    """
    pixels = side.evidence
    if not isinstance(pixels, PixelScores):
        raise lacking("iou", "a score for every pixel", side)
    shows = pixels.regions > 0
    each = np.where(shows, pixels.shared / np.maximum(pixels.either, 1), 0.0)
    return Ratio(each, shows.astype(np.float64), "pictures with a defect", 1)


def cosine_distance(side: Side) -> Statistic:
    """1 minus the cosine between a variant's vector and the reference's, the mean over samples; 0 of the reference.

    A vector that is not all numbers is as far as one that has nothing to do with the reference's, 1.

    Raises:
        DataError: the task gives no vectors.
    """
    own, theirs = side.evidence, side.reference
    if not isinstance(own, Embeddings) or not isinstance(theirs, Embeddings):
        raise lacking("cosine_distance", "a vector a sample", side)
    # Of vectors of length 1, 1 - cos is half the square of their distance: exactly 0 of a vector and itself.
    one, other = (divided(side, np.linalg.norm(side, axis=1, keepdims=True)) for side in (own.vectors, theirs.vectors))
    far = ((one - other) ** 2).sum(axis=1) / 2
    far = np.where(np.isfinite(far), far, 1.0)
    return Ratio(far, np.ones(len(far)), "samples", -1, farthest=2.0)


def _read(verdict: Verdict) -> str:
    return "" if verdict.broken else str(verdict.reading.get("text", ""))
