"""The one root error of Edgemill and its branches, one per domain.

Rules
- A message says what happened, what was expected, what was got, and what to do.
- An error is raised, never logged and raised.
- ``exit_code`` is what the command line ends with when the error reaches it:
  1 the thing asked for is not so, 2 wrong use or bad input, 3 a part of the environment is missing.
"""

from __future__ import annotations

from typing import ClassVar


class EdgemillError(Exception):
    """Root of every error that Edgemill raises on purpose.

    Args:
        what: what happened, one sentence.
        expected: what would have been right.
        got: what was found instead.
        fix: what the reader can do about it.
    """

    exit_code: ClassVar[int] = 2

    def __init__(
        self,
        what: str,
        *,
        expected: str | None = None,
        got: str | None = None,
        fix: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.expected = expected
        self.got = got
        self.fix = fix

    def __str__(self) -> str:
        parts = [self.what]
        for label, text in (("expected", self.expected), ("got", self.got), ("to do", self.fix)):
            if text:
                parts.append(f"  {label + ':':<9} {text}")
        return "\n".join(parts)

    def as_dict(self) -> dict[str, str | None]:
        """The message in parts, as ``--json`` prints it."""
        return {
            "error": type(self).__name__,
            "what": self.what,
            "expected": self.expected,
            "got": self.got,
            "to_do": self.fix,
        }


class RecipeError(EdgemillError):
    """The recipe cannot be read or asks for something that does not exist."""


class DataError(EdgemillError):
    """A data set is missing, empty, unreadable or overlaps another one."""


class ModelError(EdgemillError):
    """The model's file cannot be read, or holds what no target can run."""


class PassError(EdgemillError):
    """A pass could not do, or did not keep, what it promised."""


class BundleError(EdgemillError):
    """The bundle is damaged, altered, or from a newer Edgemill. Nothing of it may be trusted."""


class EngineError(EdgemillError):
    """An engine could not be loaded or run as asked."""


class EngineCrashed(EngineError):  # noqa: N818 (as the field says it)
    """An isolated engine's process ended, now or before; the caller lives. ``restart`` brings the engine back."""


class EngineTimeout(EngineError):  # noqa: N818 (as the field says it)
    """An isolated engine did not answer within its deadline and was ended. ``restart`` brings it back."""


class RequirementError(EngineError):
    """An engine runs, but not as it was required to: another device or precision, or layers left unfused."""

    exit_code = 1


class InputError(EdgemillError):
    """What was given for one run (a picture, a tensor, an option) cannot be used."""


class SettingsError(EdgemillError):
    """The agent's settings cannot be read or ask for something that does not exist."""


class LedgerError(EdgemillError):
    """The ledger cannot be opened, is held by another agent, or is not whole."""


class TrustError(EdgemillError):
    """What came is not what those that this box trusts have signed, or is too old, too new or too much of it."""

    exit_code = 1


class IdentityError(EdgemillError):
    """The fleet does not let this box in, is not the one that it says it is, or this box has no identity yet."""

    exit_code = 1


class LinkError(EdgemillError):
    """The broker cannot be reached, or refuses us."""

    exit_code = 3


class StoreError(EdgemillError):
    """The fleet's database cannot be reached, or is of another version. What was not written is not acknowledged."""

    exit_code = 3


class BudgetError(EdgemillError):
    """No variant is inside the budget, so there is no bundle."""

    exit_code = 1


class ProofError(EdgemillError):
    """The box does not decide as the bench did."""

    exit_code = 1


class MissingPartError(EdgemillError):
    """An optional part is not installed, or the machine lacks what was asked for by name."""

    exit_code = 3


class NoPlanError(MissingPartError):
    """GPU and runtime are here, and no plan fits them: it is to be compiled, and nothing slower takes its place."""


class CacheError(EdgemillError):
    """The build's cache cannot be written, or is in use by another build. What is in it stays as it was."""

    exit_code = 3


class ClusterError(EdgemillError):
    """The cluster that was to help with a build cannot be reached, or would give other results than this machine."""

    exit_code = 3


class StepCrashed(EdgemillError):  # noqa: N818 (as the field says it)
    """The process of a step of the build ended without an answer. What was done before is kept; run again."""

    exit_code = 3
