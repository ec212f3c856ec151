"""Edgemill: trained models into proved engines for edge boxes.

    import edgemill

    result = edgemill.build("recipe.yaml")            # BuildResult, or BudgetError with the numbers
    with edgemill.open_pipeline(result.bundle) as inspect:
        verdict = inspect("part.png", {"expected": "L7K42B 2027-05"})

Names are loaded when first used, so that ``import edgemill`` costs nothing that is not needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgemill_converters.build import build
    from edgemill_converters.chaining import ChainResult, build_chain
    from edgemill_converters.result import BuildResult
    from edgemill_core.bundle import Bundle, open_bundle
    from edgemill_core.errors import BudgetError, BundleError, EdgemillError, MissingPartError
    from edgemill_core.verdict import Decision, Verdict
    from edgemill_runtimes.engines import load
    from edgemill_runtimes.machine import this_machine
    from edgemill_runtimes.pipeline import Pipeline, open_pipeline
    from edgemill_runtimes.proof import prove

__version__ = "0.1.0"

_PUBLIC = {
    "BudgetError": "edgemill_core.errors",
    "BuildResult": "edgemill_converters.result",
    "Bundle": "edgemill_core.bundle",
    "BundleError": "edgemill_core.errors",
    "ChainResult": "edgemill_converters.chaining",
    "Decision": "edgemill_core.verdict",
    "EdgemillError": "edgemill_core.errors",
    "MissingPartError": "edgemill_core.errors",
    "Pipeline": "edgemill_runtimes.pipeline",
    "Verdict": "edgemill_core.verdict",
    "build": "edgemill_converters.build",
    "build_chain": "edgemill_converters.chaining",
    "load": "edgemill_runtimes.engines",
    "open_bundle": "edgemill_core.bundle",
    "open_pipeline": "edgemill_runtimes.pipeline",
    "prove": "edgemill_runtimes.proof",
    "this_machine": "edgemill_runtimes.machine",
}

__all__ = [
    "BudgetError",
    "BuildResult",
    "Bundle",
    "BundleError",
    "ChainResult",
    "Decision",
    "EdgemillError",
    "MissingPartError",
    "Pipeline",
    "Verdict",
    "build",
    "build_chain",
    "load",
    "open_bundle",
    "open_pipeline",
    "prove",
    "this_machine",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'edgemill' has no attribute {name!r}; it has: {', '.join(__all__)}")
    try:
        found = getattr(import_module(_PUBLIC[name]), name)
    except ModuleNotFoundError as error:
        from edgemill_core.errors import MissingPartError as Missing

        extra = "convert" if _PUBLIC[name].startswith("edgemill_converters") else "frames"
        raise Missing(
            f"edgemill.{name} needs a package that is not installed",
            expected=str(error.name),
            got="no such package",
            fix=f"pip install 'edgemill[{extra}]'",
        ) from error
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
