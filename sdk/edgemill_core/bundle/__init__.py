"""The bundle: what ships to a box, with everything needed to prove it there."""

from __future__ import annotations

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
from edgemill_core.bundle.store import Bundle, describe_files, open_bundle, write_bundle

__all__ = [
    "CHAIN_MINOR",
    "MIN_AGENT",
    "SCHEMA_MAJOR",
    "SCHEMA_MINOR",
    "Bundle",
    "Chain",
    "FileEntry",
    "GoldenEntry",
    "GoldenFrames",
    "GoldenInputs",
    "Manifest",
    "ModelEntry",
    "Origin",
    "VariantEntry",
    "describe_files",
    "open_bundle",
    "parse_manifest",
    "schema_version",
    "write_bundle",
]
