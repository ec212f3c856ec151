"""SHA-256 of what goes into a build beside the model: recipe and sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from edgemill_converters.recipe import Recipe
from edgemill_core.durable import canonical_json, sha256_bytes, sha256_file
from edgemill_core.samples import Sample, Truth


def digests_of(
    recipe: Recipe, sets: Mapping[str, Sequence[Sample]], digest: Callable[[Path], str] = sha256_file
) -> dict[str, str]:
    """Digest of the recipe, and of each set that is not empty, by name.

    Args:
        sets: by role.
        digest: gives a picture's.
    """
    found = {"recipe": recipe_digest(recipe)}
    return found | {f"{role} set": set_digest(samples, digest) for role, samples in sets.items() if samples}


def recipe_digest(recipe: Recipe) -> str:
    """Of what the recipe says, defaults and all, wherever it lies."""
    return sha256_bytes(canonical_json(recipe.model_dump(mode="json", exclude={"folder"})))


def set_digest(samples: Sequence[Sample], digest: Callable[[Path], str] = sha256_file) -> str:
    """Of all samples in their order: what is in the picture or the row, its truth, and what the line knows of it.

    Neither names nor places count: the same samples in another folder have the same digest.
    """
    return sha256_bytes(canonical_json([_of_sample(sample, digest) for sample in samples]))


def _of_sample(sample: Sample, digest: Callable[[Path], str]) -> list[object]:
    content = dict(sample.fields) if sample.fields else digest(sample.picture)
    return [content, told_of(sample.truth, digest) if sample.truth else None, dict(sample.context)]


def told_of(truth: Truth, digest: Callable[[Path], str]) -> dict[str, object]:
    """A label, with what is in its mask instead of where that lies."""
    told = asdict(truth)
    return told | {"mask": digest(truth.mask)} if truth.mask is not None else told
