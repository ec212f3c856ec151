"""The card as a page of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from edgemill_core.bundle import PROVENANCE, SBOM, Card, ModelEntry, through
from edgemill_core.bundle.card import JudgedCard, PartCard
from edgemill_core.bundle.requirements import in_words
from edgemill_core.metrics import metric_named
from edgemill_core.parts_of_one import said

_SHOWN = 20
"""Classes and kinds that are listed; more are counted."""


def card_text(card: Card, models: Sequence[ModelEntry]) -> str:
    """The page. Same card, same text."""
    chapters = [
        [f"# {card.name} {card.version}", card.description or "The author gave no description."],
        ["## Use", *_use(card)],
        ["## What it is", _table(("", ""), _facts(card))],
        ["## Variants", _table(("variant", "runtime", "precision", "needs", "MB"), _variants(models))],
        ["## How it was judged", _JUDGED, _table(_JUDGED_HEAD, map(_judged, card.judged)), *_stand_ins(card)],
        ["## Data", *_data(card)],
        ["## Licences", _table(("of", "licence"), _licences(card))],
        ["## How to build it again", *_again(card)],
    ]
    return "\n\n".join(part for chapter in chapters for part in chapter if part) + "\n"


_JUDGED = (
    "Each variant beside the model as it was trained, sample by sample. `at most` is the upper confidence bound of the "
    "worsening (of a chain: of the rate itself); it had to be within `allowed`. What a variant costs in time and "
    "memory depends on the machine, and stands in `measurements.json` and `report.html`."
)
_JUDGED_HEAD = ("variant", "metric", "samples", "trained", "variant's", "at most", "allowed", "confidence")


def _use(card: Card) -> Iterator[str]:
    yield card.intended_use or "The author did not say what it is for."
    limits = "\n".join(f"- {_line(limit)}" for limit in card.limits)
    yield (
        f"Limits:\n\n{limits}"
        if limits
        else "The author named no limits. It was judged on the data below and on no other."
    )
    if card.contact:
        yield f"Contact: {card.contact}"


def _facts(card: Card) -> Iterator[tuple[str, str]]:
    yield "task", str(card.task.get("name", ""))
    yield "input", card.input
    if card.classes:
        yield "classes", _few(card.classes)
    for stage in card.stages:
        yield "stage", f"{stage.name} {stage.version}"
    for source in card.sources:
        yield "made from", f"{source.name}, SHA-256 {source.digest}"


def _variants(models: Sequence[ModelEntry]) -> Iterator[tuple[str, ...]]:
    for model in models:
        for one in model.variants:
            name = one.name if len(models) == 1 else f"{model.name}/{one.name}"
            size = f"{one.requires.disk_bytes / 1e6:.2f}" if one.requires else ""
            needs = in_words(one.requires, one.runtime, one.cpu, one.precision_hint, bool(one.plans))
            yield name, one.runtime, one.precision, needs, size


def _judged(one: JudgedCard) -> tuple[str, ...]:
    loss = metric_named(one.metric).is_loss
    figures = ["" if value is None else f"{value:.6g}" if loss else said(value) for value in (one.reference, one.value)]
    bounds = (said(one.bound), said(one.allowed), said(one.confidence))
    return one.variant, one.metric, str(one.samples), *figures, *bounds


def _stand_ins(card: Card) -> Iterator[str]:
    for variant, stand_in in card.stand_ins.items():
        yield f"{variant} was {through(stand_in)}. Its latency was not measured."


def _data(card: Card) -> Iterator[str]:
    rows = []
    for one in card.sets:
        kinds = [f"{count} {kind}" for kind, count in one.balance.items()]
        rows.append((one.role, str(one.samples), _few(kinds), one.digest))
    yield _table(("set", "samples", "of which", "SHA-256"), rows)
    if card.stages:
        yield "What each stage was built with stands on its own card, below `stages/`."


def _licences(card: Card) -> Iterator[tuple[str, str]]:
    yield "the model", card.licence or "not said"
    yield "the data", card.data_licence or "not said"
    for stage in card.stages:
        yield f"stage {stage.name}", stage.licence or "not said"
    needed: dict[str, PartCard] = {part.name: part for own in card.needed.values() for part in own}
    for name in sorted(needed):
        yield f"{name}, on the box", needed[name].licence or "not said"


def _again(card: Card) -> Iterator[str]:
    pins = " ".join(f"{part.name}=={part.version}" for part in card.tools)
    yield (
        f"With the data and the model of the digests above, and the recipe in `{PROVENANCE}` "
        "(`predicate.buildDefinition.externalParameters.recipe`; save it as `recipe.yaml` where its paths lead):"
    )
    yield f"```sh\npip install {pins}\nedgemill build recipe.yaml\n```"
    yield f"`{PROVENANCE}` is an in-toto statement of the same, `{SBOM}` the bill of materials (CycloneDX)."


def _few(words: Sequence[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(_line(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _line(text: str) -> str:
    return " ".join(text.split())
