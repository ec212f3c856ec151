"""The bill of materials as it lies in a bundle."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from edgemill_core.bundle.card import SBOM
from edgemill_core.bundle.store import Bundle
from edgemill_core.errors import BundleError


def read_bill(bundle: Bundle) -> dict[str, Any]:
    """The bundle's SBOM.

    Raises:
        BundleError: it has none, or it is no JSON object.
    """
    try:
        told = json.loads(bundle.path(SBOM).read_bytes())
    except (ValueError, RecursionError) as error:
        raise _wrong(f"{type(error).__name__}: {error}"[:200]) from error
    if not isinstance(told, dict):
        raise _wrong(type(told).__name__)
    return told


def counts(bill: Mapping[str, Any]) -> dict[str, int]:
    """How many components there are of each kind, those inside others too."""
    return dict(sorted(Counter(_kinds(bill)).items()))


def _kinds(part: Mapping[str, Any]) -> Iterator[str]:
    inside = part.get("components")
    for one in inside if isinstance(inside, list) else ():
        if isinstance(one, Mapping):
            yield str(one.get("type"))
            yield from _kinds(one)


def _wrong(got: str) -> BundleError:
    return BundleError(
        "the bundle's bill of materials cannot be read",
        expected=f"{SBOM} as `edgemill build` writes it",
        got=got,
        fix="build the bundle again",
    )
