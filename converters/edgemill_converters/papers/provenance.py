"""Where a bundle comes from, as in-toto's statement with SLSA's predicate (slsa.dev/spec/v1.0/provenance).

Neither machine, nor time, nor user stand in it: they change nothing of what ships. The machine is in the bundle's
records; who built and when is for whoever signs the release to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel

from edgemill_core.bundle import Card, FileEntry

STATEMENT, PREDICATE = "https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:edgemill:build:v1"


def provenance(card: Card, recipe: Mapping[str, Any], files: Mapping[str, FileEntry]) -> dict[str, Any]:
    """The statement.

    Args:
        recipe: as ``recipe_said`` gives it.
        files: that were built.
    """
    versions = {part.name: part.version for part in card.tools}
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": files[name].sha256}} for name in sorted(files)],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"recipe": dict(recipe)},
                "resolvedDependencies": _dependencies(card),
            },
            "runDetails": {
                "builder": {"id": f"pkg:pypi/edgemill@{versions.get('edgemill', 'unknown')}", "version": versions}
            },
        },
    }


def recipe_said(recipe: BaseModel) -> dict[str, Any]:
    """What a recipe says, defaults and all. Of paths from the root only the name: the rest is the machine's."""
    told: dict[str, Any] = _without_roots(recipe.model_dump(mode="json", exclude={"folder"}))
    return told


def _without_roots(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_roots(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_roots(inner) for inner in value]
    return PurePath(value).name if isinstance(value, str) and value.startswith("/") and len(value) > 1 else value


def _dependencies(card: Card) -> list[dict[str, Any]]:
    kind = "bundle" if card.stages else "model"
    found = [
        {"name": one.name, "digest": {"sha256": one.digest}, "annotations": {"kind": kind}} for one in card.sources
    ]
    for one in card.sets:
        told = {"kind": "data set", "samples": one.samples, "digest of": "samples, labels and context, in their order"}
        found.append({"name": f"{one.role} set", "digest": {"sha256": one.digest}, "annotations": told})
    return found
