"""Everything that a person or program needs to reach a fleet: an address, whom to believe there, and a token."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, ValidationError

from edgemill_core.durable import write_bytes
from edgemill_core.errors import InputError
from edgemill_core.validation import Strict, first_complaint
from edgemill_core.yaml_lines import read_yaml


class Access(Strict):
    """One way in.

    Attributes:
        ca: PEM of the certificate to believe; the system's if empty.
        token: as it was said once.
    """

    url: Annotated[str, Field(pattern=r"^https?://[^\s#?]+$")]
    ca: str = ""
    token: Annotated[str, Field(pattern=r"^[\x21-\x7e]+$")]


def write_access(file: Path, access: Access) -> None:
    """For its owner alone."""
    write_bytes(file, yaml.safe_dump(access.model_dump(), sort_keys=False).encode(), mode=0o600)


def read_access(file: Path) -> Access:
    """Of what ``write_access`` wrote.

    Raises:
        InputError: it is none.
    """
    told, _ = read_yaml(file, "access file", InputError)
    try:
        return Access.model_validate(told)
    except ValidationError as error:
        where, expected, _ = first_complaint(error)
        raise InputError(
            f"{file} lets nobody in: {where}",
            expected=expected,
            got="something else",
            fix="have one written: edgemill fleet token add NAME --role ROLE --out FILE",
        ) from error
