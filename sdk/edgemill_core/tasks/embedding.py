"""A vector that stands for what the model looked at, so that alike things lie close together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np

from edgemill_core.durable import sha256_bytes
from edgemill_core.evidence import Embeddings
from edgemill_core.tasks.base import Task
from edgemill_core.tensors import Array
from edgemill_core.verdict import Decision, Verdict

_DIGITS = 16


class Embedding(Task):
    """One vector of length 1 a sample.

    The engine's output is ``embedding: float[1, n]``; its length is made 1 in the graph. Nothing is decided. The
    reading is a digest and not the vector, which would swell the ledger: it says that two answers are the same to the
    last bit.
    """

    metrics: ClassVar[tuple[str, ...]] = ("cosine_distance",)
    output: ClassVar[str] = "embedding"
    takes: ClassVar[tuple[str, ...]] = ("pictures", "numbers", "tensors")

    name: Literal["embedding"] = "embedding"

    def _judge(self, values: Array, context: Mapping[str, str]) -> Verdict:  # noqa: ARG002 (the contract's)
        row = np.ascontiguousarray(values, "<f4")
        return Verdict(Decision.SCORE, (), float("nan"), {"digest": sha256_bytes(row.tobytes())[:_DIGITS]})

    def vectors_of(self, outputs: Array) -> Embeddings:
        """Outputs of a whole set, ``float[samples, n]``, for metrics that ask for more than verdicts."""
        return Embeddings(np.asarray(outputs, np.float64).reshape(len(outputs), -1))
