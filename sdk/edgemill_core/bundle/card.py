"""The model card: what a bundle's model is, what it was built from, and how it was judged. Says nothing of machines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, ValidationError, model_serializer

from edgemill_core.errors import BundleError

if TYPE_CHECKING:
    from edgemill_core.bundle.store import Bundle

CARD, CARD_TEXT = "card.json", "card.md"
SBOM = "sbom.cdx.json"
PROVENANCE = "provenance.json"
PAPERS = (CARD, CARD_TEXT, PROVENANCE, SBOM)
"""Files that go with a bundle; one that was built before there were any has none."""


class _Readable(BaseModel):
    """What a newer Edgemill says more of is passed over: a card is for reading, and no engine depends on it."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class SetCard(_Readable):
    """A data set.

    Attributes:
        role: ``calibration``, ``search`` or ``judge``.
        digest: SHA-256 over its samples, labels and context, in their order.
        balance: how many samples (of boxes: how many boxes) there are of each kind.
    """

    role: str
    samples: int
    digest: str
    balance: dict[str, int] = {}


class SourceCard(_Readable):
    """A file of the trained model, or a stage's bundle.

    Attributes:
        name: without the folders that it lay in.
        digest: SHA-256 of the file; of a bundle, its content digest.
    """

    name: str
    digest: str


class JudgedCard(_Readable):
    """One budget, as a variant that ships was judged by it. Rates in parts of 1.

    Attributes:
        variant: or, of a chain, the runtime.
        samples: that the metric counts.
        reference: the metric of the trained model; ``None`` where there is none to compare with (of a chain).
        value: the metric of the variant.
        bound: upper confidence bound of the worsening; of a chain, of the rate itself.
        allowed: what the budget allows of it.
        confidence: at which it was judged.
        floor: what had to be shown besides.
    """

    variant: str
    metric: str
    samples: int
    reference: float | None
    value: float
    bound: float
    allowed: float
    confidence: float
    floor: float | None = None


class PartCard(_Readable):
    """A piece of software.

    Attributes:
        licence: an SPDX expression, or the name that its own metadata gives; empty where that says nothing.
    """

    name: str
    version: str
    licence: str = ""


class Card(_Readable):
    """A bundle's card.

    Attributes:
        task: its settings, as in the manifest; of a chain, ``{"name": "chain"}``.
        input: what the model takes, in words.
        classes: that it tells apart.
        description, intended_use, limits, contact: the author's own words.
        licence: of the model: an SPDX expression, or a name; empty where nobody said.
        data_licence: of the data sets, likewise.
        sets: that it was built with.
        sources: what it was built from.
        judged: what ships, as it was judged.
        tools: what made it.
        needed: what a box needs of software, by the variant (or runtime) that needs it.
        stages: of a chain: name and version of each stage's bundle.
        stand_ins: what was judged in the stead of a variant's own runtime, by the variant.
    """

    name: str
    version: str
    task: dict[str, Any]
    input: str
    classes: tuple[str, ...] = ()
    description: str = ""
    intended_use: str = ""
    limits: tuple[str, ...] = ()
    contact: str = ""
    licence: str = ""
    data_licence: str = ""
    sets: tuple[SetCard, ...] = ()
    sources: tuple[SourceCard, ...] = ()
    judged: tuple[JudgedCard, ...] = ()
    tools: tuple[PartCard, ...] = ()
    needed: dict[str, tuple[PartCard, ...]] = {}
    stages: tuple[PartCard, ...] = ()
    stand_ins: dict[str, str] = {}

    @model_serializer(mode="wrap")
    def _without_nothing(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What needed no stand-in reads as it did before there were any."""
        told: dict[str, Any] = dump(self)
        if not self.stand_ins:
            told.pop("stand_ins", None)
        return told


def card_of(bundle: Bundle) -> Card | None:
    """The bundle's card; ``None`` of a bundle that was built before there were any.

    Raises:
        BundleError: it is no card.
    """
    if CARD not in bundle.manifest.files:
        return None
    try:
        return Card.model_validate(json.loads(bundle.path(CARD).read_bytes()))
    except (ValueError, ValidationError, RecursionError) as error:
        raise BundleError(
            "the bundle's card cannot be read",
            expected=f"{CARD} as `edgemill build` writes it",
            got=f"{type(error).__name__}: {error}"[:200],
            fix="build the bundle again",
        ) from error
