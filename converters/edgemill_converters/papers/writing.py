"""Write a bundle's papers beside its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel

from edgemill_converters.papers.card_text import card_text
from edgemill_converters.papers.provenance import provenance, recipe_said
from edgemill_converters.papers.sbom import bill_of_materials
from edgemill_core.bundle import CARD, PAPERS, PROVENANCE, SBOM, Card, FileEntry, ModelEntry, describe_files
from edgemill_core.bundle.card import CARD_TEXT
from edgemill_core.durable import canonical_json


def write_papers(
    folder: Path, card: Card, recipe: BaseModel, models: Sequence[ModelEntry], files: Mapping[str, FileEntry]
) -> dict[str, FileEntry]:
    """Write all papers into ``folder``.

    Args:
        files: of the bundle, papers of its own aside.

    Returns:
        ``files``, and the papers.
    """
    (folder / CARD).write_bytes(canonical_json(card.model_dump(mode="json")))
    (folder / CARD_TEXT).write_text(card_text(card, models), encoding="utf-8")
    (folder / PROVENANCE).write_bytes(canonical_json(provenance(card, recipe_said(recipe), files)))
    listed = {**files, **describe_files(folder, [name for name in PAPERS if name != SBOM])}
    (folder / SBOM).write_bytes(canonical_json(bill_of_materials(card, models, listed)))
    return {**listed, **describe_files(folder, [SBOM])}
