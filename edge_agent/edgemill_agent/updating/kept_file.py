"""A small file of state: replaced whole, in one move, so that it never says two things."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from edgemill_core.durable import canonical_json, write_bytes
from edgemill_core.errors import LedgerError
from edgemill_core.validation import Strict, first_complaint

Kept = TypeVar("Kept", bound=Strict)


def read_kept(file: Path, form: type[Kept], what: str, fix: str) -> Kept:
    """What ``write_kept`` wrote; an empty ``form`` if there is no such file.

    Args:
        what: of which state, for the message.
        fix: what to do about a damaged file.

    Raises:
        LedgerError: it is damaged.
    """
    try:
        return form.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return form()
    except (OSError, ValidationError) as error:
        said = first_complaint(error)[1] if isinstance(error, ValidationError) else str(error)
        raise LedgerError(
            f"{what} cannot be read", expected=f"{file}, as the agent writes it in one move", got=said, fix=fix
        ) from error


def write_kept(file: Path, state: Strict) -> None:
    """Replace the file, in one move, once it is on the disk."""
    write_bytes(file, canonical_json(state.model_dump(mode="json")))
