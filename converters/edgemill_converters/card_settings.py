"""``card:`` of a recipe: what its author says of the model, for those who are to use it."""

from __future__ import annotations

from typing import Annotated, Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from pydantic import AfterValidator, Field, field_validator

from edgemill_core.validation import Strict

Words = Annotated[str, Field(max_length=4000)]


def _licence(text: str) -> str:
    """In SPDX's own spelling.

    Raises:
        ValueError: no such licence.
    """
    try:
        return str(canonicalize_license_expression(text))
    except InvalidLicenseExpression as error:
        raise ValueError(
            "an SPDX expression such as Apache-2.0, MIT OR Apache-2.0, or LicenseRef-NAME for one of your own"
        ) from error


Licence = Annotated[str, Field(max_length=400), AfterValidator(_licence)]


class Licences(Strict):
    """What the model, and the data it was built with, may be used under.

    Attributes:
        model: of the trained model; a package's own metadata say it where the recipe does not.
        data: of the data sets.
    """

    model: Licence | None = None
    data: Licence | None = None


class CardSettings(Strict):
    """What the author says.

    Attributes:
        description: what the model is.
        intended_use: what for, and by whom.
        limits: where it is not to be used, or not to be trusted; one or several.
        contact: whom to ask.
        licence: ``{model, data}``, or the model's alone.
    """

    description: Words = ""
    intended_use: Words = ""
    limits: tuple[Words, ...] = ()
    contact: Words = ""
    licence: Licences = Licences()

    @field_validator("limits", mode="before")
    @classmethod
    def _one_or_several(cls, limits: Any) -> Any:
        return (limits,) if isinstance(limits, str) else limits

    @field_validator("licence", mode="before")
    @classmethod
    def _short_form(cls, licence: Any) -> Any:
        return {"model": licence} if isinstance(licence, str) else licence
