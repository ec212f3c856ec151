"""What a target needs on the build machine, looked at before anything is done."""

from __future__ import annotations

from edgemill_converters.standing_in.running import RUNTIME
from edgemill_converters.targets import Target
from edgemill_core.errors import MissingPartError
from edgemill_runtimes.engines import engine_class
from edgemill_runtimes.requirements import DISTRIBUTIONS, installed_runtime


def check_parts(target: Target) -> None:
    """Refuse a target whose runtime, stand-in or compiler is not there.

    Raises:
        EngineError: there is no such runtime.
        MissingPartError: what is not installed, and how to get it.
    """
    engine_class(target.runtime if target.runs_here else RUNTIME)
    # Not imported: its libraries take a gigabyte, and the process that compiles loads them.
    if target.is_built_ahead and installed_runtime(target.runtime) is None:
        raise MissingPartError(
            f"plans of {target.name} cannot be built ahead: {target.runtime} is not installed",
            expected=f"the Python package {DISTRIBUTIONS[target.runtime][0]}; it needs no GPU to build",
            got="none",
            fix="pip install 'edgemill[tensorrt]'",
        )
