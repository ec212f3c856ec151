"""How named numbers become an engine's input: which, in what order, and what each may be."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from edgemill_core.errors import InputError


class Feature(BaseModel):
    """One number of a request.

    Attributes:
        name: as in requests and tables.
        unit: for people, e.g. ``%``.
        min: smallest value that is taken; any if ``None``.
        max: largest value that is taken; any if ``None``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1)]
    unit: str = ""
    min: float | None = None
    max: float | None = None


def _short(written: object) -> object:
    return {"name": written} if isinstance(written, str) else written


class RowInput(BaseModel):
    """Declared input of a model that takes numbers.

    Attributes:
        features: in the order of the model's own columns; a name alone is short for a feature without limits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    features: Annotated[tuple[Annotated[Feature, BeforeValidator(_short)], ...], Field(min_length=1)]

    @field_validator("features")
    @classmethod
    def _each_once(cls, features: tuple[Feature, ...]) -> tuple[Feature, ...]:
        names = [feature.name for feature in features]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"each feature has its own name; twice: {', '.join(doubled)}")
        return features

    @property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(feature.name for feature in self.features)

    def prepare(self, fields: Mapping[str, object]) -> NDArray[np.float64]:
        """The engine's input, ``float64[1, features]``.

        Raises:
            InputError: a field is missing, unknown, not a finite number, or outside its limits.
        """
        if set(fields) != set(self.names):
            missing, unknown = set(self.names) - set(fields), set(fields) - set(self.names)
            raise InputError(
                "the request does not have the model's fields",
                expected=", ".join(self.names),
                got="; ".join(
                    f"{what}: {', '.join(sorted(names))}"
                    for what, names in (("missing", missing), ("unknown", unknown))
                    if names
                ),
                fix="send exactly the fields that the bundle declares",
            )
        return np.array([[_number(feature, fields[feature.name]) for feature in self.features]], np.float64)


def _number(feature: Feature, value: object) -> float:
    number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else float("nan")
    low = feature.min if feature.min is not None else float("-inf")
    high = feature.max if feature.max is not None else float("inf")
    if not isfinite(number) or not low <= number <= high:
        limits = f" from {low:g} to {high:g}" if (feature.min, feature.max) != (None, None) else ""
        unit = f" in {feature.unit}" if feature.unit else ""
        raise InputError(
            f"field {feature.name!r} cannot be used: it is {str(value)[:40]}",
            expected=f"a finite number{unit}{limits}",
            got=repr(value)[:80],
            fix="mend the request; the station gives its safe verdict for this one",
        )
    return number
