"""Which deltas lead to a blob: a small unsigned list beside them, in the folder of releases.

::

    deltas/AA/NEW/index.json    {"deltas": {OLD: bytes, …}}
    deltas/AA/NEW/OLD

It is believed only as far as the blob allows: a delta is worth it where it saves at least half.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationError

from edgemill_core.validation import Strict, complaint
from edgemill_link.trust.blobs import blob_path
from edgemill_link.trust.refusal import Attack, Refused

MOST_INDEX_BYTES = 16_384
MOST_DELTAS = 64
LEAST_BLOB = 64 << 10
"""Of smaller blobs nobody makes deltas, and nobody asks for them."""
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class DeltaIndex(Strict):
    """The deltas of one blob.

    Attributes:
        deltas: length in bytes, by the SHA-256 of the blob that it leads from.
    """

    deltas: Annotated[dict[Digest, Annotated[int, Field(gt=0)]], Field(max_length=MOST_DELTAS)] = {}  # noqa: RUF012

    def worth(self, length: int) -> dict[str, int]:
        """Those that save at least half of a blob of this length."""
        return {base: size for base, size in self.deltas.items() if 2 * size <= length}


def index_path(digest: str) -> str:
    """Where the list of a blob's deltas lies, in a folder of releases."""
    return f"deltas/{blob_path(digest)}/index.json"


def delta_path(digest: str, base: str) -> str:
    """Where the delta lies that leads from ``base`` to a blob."""
    return f"deltas/{blob_path(digest)}/{base}"


def parse_index(content: bytes) -> DeltaIndex:
    """The list.

    Raises:
        Refused: it is none.
    """
    try:
        return DeltaIndex.model_validate_json(content)
    except (ValidationError, RecursionError) as error:
        raise Refused(
            Attack.ALTERED,
            "a list of deltas cannot be read",
            expected="the one that `edgemill release publish` wrote",
            got=complaint(error)[:200],
            fix="nothing: whole blobs are fetched; publish again to mend it",
        ) from error
