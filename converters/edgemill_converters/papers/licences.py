"""Licences of installed packages, from their own metadata."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, metadata

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""What packages said before there were SPDX expressions (PEP 639), where it means one licence and no other."""
_LONGEST = 100


def expression(text: str) -> str | None:
    """``text`` in SPDX's own spelling; ``None`` where it is no SPDX expression."""
    try:
        return str(canonicalize_license_expression(text))
    except InvalidLicenseExpression:
        return None


@cache
def licence_of(package: str) -> str:
    """What an installed package says of its licence: an SPDX expression where it can be made one, else its own words.

    Empty where it is not installed, or says nothing short.
    """
    try:
        told = metadata(package)
    except PackageNotFoundError:
        return ""
    if "License-Expression" in told:
        return expression(told["License-Expression"]) or told["License-Expression"]
    words = told["License"].strip() if "License" in told else ""
    if words and (found := expression(words)):
        return found
    named = [line.rpartition(" :: ")[2] for line in told.get_all("Classifier") or () if line.startswith("License ::")]
    known = sorted({_CLASSIFIERS[name] for name in named if name in _CLASSIFIERS})
    if known:
        return " AND ".join(known)
    return words if words and len(words) <= _LONGEST and "\n" not in words else ", ".join(named)
