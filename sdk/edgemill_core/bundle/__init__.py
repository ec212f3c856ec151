"""The bundle: what ships to a box, with everything needed to prove it there."""

from __future__ import annotations

from edgemill_core.bundle.card import CARD, PAPERS, PROVENANCE, SBOM, Card, card_of
from edgemill_core.bundle.difference import Difference, difference
from edgemill_core.bundle.manifest import (
    CHAIN_MINOR,
    MIN_AGENT,
    SCHEMA_MAJOR,
    SCHEMA_MINOR,
    Chain,
    FileEntry,
    GoldenEntry,
    GoldenFrames,
    GoldenInputs,
    Manifest,
    ModelEntry,
    Origin,
    VariantEntry,
    parse_manifest,
    schema_version,
)
from edgemill_core.bundle.one_file import export_bundle, import_bundle, opened_bundle
from edgemill_core.bundle.requirements import Requirements
from edgemill_core.bundle.stand_in import through
from edgemill_core.bundle.store import Bundle, describe_files, open_bundle, peek, write_bundle

__all__ = [
    "CARD",
    "CHAIN_MINOR",
    "MIN_AGENT",
    "PAPERS",
    "PROVENANCE",
    "SBOM",
    "SCHEMA_MAJOR",
    "SCHEMA_MINOR",
    "Bundle",
    "Card",
    "Chain",
    "Difference",
    "FileEntry",
    "GoldenEntry",
    "GoldenFrames",
    "GoldenInputs",
    "Manifest",
    "ModelEntry",
    "Origin",
    "Requirements",
    "VariantEntry",
    "card_of",
    "describe_files",
    "difference",
    "export_bundle",
    "import_bundle",
    "open_bundle",
    "opened_bundle",
    "parse_manifest",
    "peek",
    "schema_version",
    "through",
    "write_bundle",
]
