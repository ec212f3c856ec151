"""The bundle: what ships to a box, with everything needed to prove it there."""

from __future__ import annotations

from edgemill_core.bundle.manifest import (
    MIN_AGENT,
    SCHEMA_MAJOR,
    SCHEMA_MINOR,
    FileEntry,
    GoldenEntry,
    GoldenInputs,
    Manifest,
    ModelEntry,
    VariantEntry,
    parse_manifest,
)
from edgemill_core.bundle.store import Bundle, describe_files, open_bundle, write_bundle

__all__ = [
    "MIN_AGENT",
    "SCHEMA_MAJOR",
    "SCHEMA_MINOR",
    "Bundle",
    "FileEntry",
    "GoldenEntry",
    "GoldenInputs",
    "Manifest",
    "ModelEntry",
    "VariantEntry",
    "describe_files",
    "open_bundle",
    "parse_manifest",
    "write_bundle",
]
