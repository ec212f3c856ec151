"""Draw up the card of a chain from what its build found out; what its stages are stands on their own cards."""

from __future__ import annotations

from collections.abc import Sequence

from edgemill_converters.chaining.recipe import ChainRecipe
from edgemill_converters.chaining.result import RuntimeResult
from edgemill_converters.papers.cards import figure, said_by_author
from edgemill_converters.papers.sets import set_cards
from edgemill_converters.papers.tools import needed_on_box, parts
from edgemill_converters.set_digests import set_digest
from edgemill_core.bundle import Bundle, Card, card_of
from edgemill_core.bundle.card import JudgedCard, PartCard, SourceCard
from edgemill_core.rate_budget import RateJudgement
from edgemill_core.samples import Sample


def chain_card(
    recipe: ChainRecipe, bundles: Sequence[Bundle], samples: Sequence[Sample], results: Sequence[RuntimeResult]
) -> Card:
    """The card of a chain, of its stages' bundles in order."""
    names = [source.name for source in recipe.chain]
    origins = [bundle.manifest for bundle in bundles]
    licences = [card.licence if (card := card_of(bundle)) else "" for bundle in bundles]
    return Card(
        name=recipe.name,
        version=recipe.version,
        task={"name": "chain", "stages": names},
        input="pictures of whole parts",
        **said_by_author(recipe.card),
        sets=set_cards({"judge": samples}, {"judge set": set_digest(samples)}),
        sources=tuple(
            SourceCard(name=f"{origin.name}-{origin.version}", digest=origin.content_digest) for origin in origins
        ),
        judged=tuple(_rate(result.runtime, one) for result in results for one in result.judgements),
        tools=parts(("edgemill", "numpy")),
        needed={result.runtime: needed_on_box(result.runtime, bundles[0].model.input) for result in results},
        stages=tuple(
            PartCard(name=origin.name, version=origin.version, licence=licence)
            for origin, licence in zip(origins, licences, strict=True)
        ),
    )


def _rate(runtime: str, one: RateJudgement) -> JudgedCard:
    return JudgedCard(
        variant=runtime,
        metric=one.budget.metric,
        samples=one.samples,
        reference=None,
        value=figure(one.wrong / max(one.samples, 1)),
        bound=figure(one.bound),
        allowed=one.budget.at_most,
        confidence=one.budget.confidence,
    )
