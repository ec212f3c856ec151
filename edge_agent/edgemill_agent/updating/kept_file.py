"""A small file of state: replaced whole, in one move, so that it never says two things.

Its ``form`` counts up whenever it is to mean something that an older agent would not understand: that one then refuses
it, instead of taking half of it for the whole.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from edgemill_core.durable import canonical_json, write_bytes
from edgemill_core.errors import LedgerError
from edgemill_core.validation import Strict, complaint

FORM = 1
"""That this agent writes, and reads up to; also what a file is of that does not say."""
Kept = TypeVar("Kept", bound=Strict)


def read_kept(file: Path, form: type[Kept], what: str, fix: str) -> Kept:
    """What ``write_kept`` wrote; an empty ``form`` if there is no such file.

    Args:
        what: of which state, for the message.
        fix: what to do about a damaged file.

    Raises:
        LedgerError: it is damaged, or was written by a newer Edgemill.
    """
    try:
        told = json.loads(file.read_bytes())
        if isinstance(told, dict):
            _check_form(told.pop("form", FORM), file, what)
        return form.model_validate_json(json.dumps(told))
    except FileNotFoundError:
        return form()
    except (OSError, ValueError, RecursionError) as error:
        raise LedgerError(
            f"{what} cannot be read",
            expected=f"{file}, as the agent writes it in one move",
            got=complaint(error),
            fix=fix,
        ) from error


def write_kept(file: Path, state: Strict) -> None:
    """Replace the file, in one move, once it is on the disk."""
    write_bytes(file, kept_bytes(state))


def kept_bytes(state: Strict) -> bytes:
    """As ``write_kept`` writes it."""
    return canonical_json({"form": FORM, **state.model_dump(mode="json")})


def _check_form(form: Any, file: Path, what: str) -> None:
    if not isinstance(form, int) or form > FORM:
        raise LedgerError(
            f"{what} was written by a newer Edgemill",
            expected=f"{file} of form {FORM}",
            got=f"form {form}",
            fix="update Edgemill on this box again, or restore a backup from before; nothing was changed",
        )
