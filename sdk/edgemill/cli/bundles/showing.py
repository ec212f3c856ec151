"""``edgemill bundle show``: what a bundle is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgemill.cli.columns import print_columns, printable
from edgemill.cli.given_bundle import open_given
from edgemill.cli.output import print_json, print_line
from edgemill_core.bundle import SBOM, Bundle, Card, VariantEntry, card_of, through
from edgemill_core.bundle.bill import counts, read_bill
from edgemill_core.bundle.card import JudgedCard
from edgemill_core.bundle.requirements import in_words
from edgemill_core.parts_of_one import said
from edgemill_runtimes.nvidia.plan_facts import read_facts

_TOLD = {"name", "runtime", "device", "precision", "cpu", "requires", "plans"}


def run(path: Path, json: bool) -> None:
    """Verify the bundle, and say what it is."""
    bundle = open_given(path)
    card = card_of(bundle)
    if json:
        print_json(_as_dict(path, bundle, card))
        return
    _print(bundle, card)


def _as_dict(path: Path, bundle: Bundle, card: Card | None) -> dict[str, Any]:
    manifest = bundle.manifest
    variants = [
        {
            "model": model.name,
            **one.model_dump(mode="json", include=_TOLD),
            **({"stand_in": one.golden.stand_in} if one.golden.stand_in is not None else {}),
        }
        for model in manifest.models
        for one in model.variants
    ]
    tables = {"files": manifest.files, "records": manifest.records}
    return {
        "bundle": str(path),
        "name": manifest.name,
        "version": manifest.version,
        "schema": manifest.schema_version,
        "content_digest": manifest.content_digest,
        "bytes": manifest.size_bytes,
        "card": card.model_dump(mode="json") if card else None,
        "variants": variants,
        "sbom": counts(read_bill(bundle)) if SBOM in manifest.files else None,
        **{name: {k: v.model_dump(mode="json") for k, v in table.items()} for name, table in tables.items()},
    }


def _print(bundle: Bundle, card: Card | None) -> None:
    manifest = bundle.manifest
    print_line(f"{printable(manifest.name)} {printable(manifest.version)}  content {manifest.content_digest}")
    if card is None:
        print_line("built before bundles had a card; build it again to get one")
    else:
        _print_card(card)
    print_line()
    print_columns(("variant", "precision", "MB", "needs"), [_row(bundle, one) for one in _variants(bundle)], ("MB",))
    for name, one in _variants(bundle):
        if one.plans:
            print_line(f"{name}: {', '.join(_plan(bundle, plan) for plan in one.plans)}")
        if one.golden.stand_in is not None:
            print_line(f"{name}: {through(printable(one.golden.stand_in))}")
    if card is not None and card.judged:
        head = ("judged", "metric", "samples", "trained", "variant's", "worse by at most", "allowed")
        print_line()
        print_columns(head, map(_judged, card.judged), ("samples",))
    if SBOM in manifest.files:
        found = counts(read_bill(bundle))
        print_line(f"\nbill of materials: {', '.join(f'{number} {kind}' for kind, number in found.items())}")
    rows = [(name, f"{entry.bytes:,}", entry.sha256[:12]) for name, entry in sorted(manifest.files.items())]
    rows += [(f"{name} (record)", f"{e.bytes:,}", e.sha256[:12]) for name, e in sorted(manifest.records.items())]
    print_line()
    print_columns(("file", "bytes", "SHA-256"), rows, ("bytes",))


def _print_card(card: Card) -> None:
    told = {
        "": card.description,
        "for": card.intended_use,
        "not for": "; ".join(card.limits),
        "contact": card.contact,
        "task": str(card.task.get("name", "")),
        "input": card.input,
        "licence": f"{card.licence or 'not said'}; of the data: {card.data_licence or 'not said'}",
        "made from": "; ".join(f"{one.name} ({one.digest[:12]})" for one in card.sources),
        "made with": ", ".join(f"{part.name} {part.version}" for part in card.tools),
        "data": "; ".join(f"{one.role} {one.samples} ({one.digest[:12]})" for one in card.sets),
    }
    for title, text in told.items():
        if text:
            print_line(f"  {title:<10} {printable(text)}")


def _variants(bundle: Bundle) -> list[tuple[str, VariantEntry]]:
    chained = bundle.chain is not None
    return [
        (f"{model.name}/{one.name}" if chained else one.name, one)
        for model in bundle.manifest.models
        for one in model.variants
    ]


def _row(bundle: Bundle, named: tuple[str, VariantEntry]) -> tuple[str, ...]:
    name, one = named
    size = sum(bundle.manifest.files[file].bytes for file in one.files if file != one.golden.outputs) / 1e6
    needs = in_words(one.requires, one.runtime, one.cpu, one.precision_hint, bool(one.plans))
    return name, one.precision, f"{size:.2f}", needs


def _plan(bundle: Bundle, plan: str) -> str:
    facts = read_facts(bundle.path(plan))
    boxes = " and ".join(facts.compute_capabilities)
    return f"{plan.rpartition('/')[2]} by {facts.runtime} {facts.version}, for compute capability {boxes}"


def _judged(one: JudgedCard) -> tuple[str, ...]:
    reference = "" if one.reference is None else f"{one.reference:.6g}"
    bounds = (said(one.bound), f"{said(one.allowed)} at {said(one.confidence)}")
    return one.variant, one.metric, str(one.samples), reference, f"{one.value:.6g}", *bounds
