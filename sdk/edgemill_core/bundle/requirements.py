"""What a variant needs of a box, and what a box lacks of it: pure words about versions, before anything is loaded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from edgemill_core.errors import BundleError
from edgemill_core.validation import Strict

OLDEST_PYTHON = "3.10"
"""What the agent's side runs on (JetPack 6)."""
Version = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)*$", max_length=40)]


class Requirements(Strict):
    """What a box must have to run a variant. ``cpu`` and ``precision_hint`` of the variant say what its processor is.

    Attributes:
        least: oldest version of the runtime that reads the graph; ``None`` where nobody knows it.
        built_with: version of the runtime that gave the golden outputs, or built the plans; ``None`` of one that has
            none, or was not there.
        opset: of ONNX's own operators in the graph.
        ir_version: of the graph's file.
        python: oldest version.
        disk_bytes: graph and weights, plans and their facts.
    """

    least: Version | None
    built_with: str | None
    opset: Annotated[int, Field(ge=0)]
    ir_version: Annotated[int, Field(ge=0)]
    python: Version = OLDEST_PYTHON
    disk_bytes: Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Box:
    """What is known of a box.

    Attributes:
        python: its version.
        runtime: version of the variant's runtime; ``None`` where that is not installed, or does not say.
    """

    python: str
    runtime: str | None


@dataclass(frozen=True)
class Lack:
    """One thing that a box lacks, in words."""

    what: str
    expected: str
    got: str


def lacks(needed: Requirements, runtime: str, box: Box) -> tuple[Lack, ...]:
    """What ``box`` lacks to run a variant on ``runtime``, as far as versions tell; nothing is no promise."""
    found = []
    if release(box.python) < release(needed.python):
        found.append(Lack("this Python is too old", f"Python {needed.python} or newer", f"Python {box.python}"))
    if needed.least is not None and box.runtime is not None and release(box.runtime) < release(needed.least):
        graph = f"the graph is of opset {needed.opset}, IR version {needed.ir_version}"
        newer = f"{runtime} {needed.least} or newer, because {graph}"
        found.append(Lack(f"this {runtime} is too old", newer, f"{runtime} {box.runtime}"))
    return tuple(found)


def check_agent(least: str, here: str | None) -> None:
    """Refuse a bundle that asks for a newer Edgemill.

    Args:
        least: the manifest's ``min_agent``.
        here: the version installed; ``None`` where it runs from its sources.

    Raises:
        BundleError: this one is older.
    """
    if here is not None and release(here) < release(least):
        raise BundleError(
            "the bundle is for a newer Edgemill than this one",
            expected=f"Edgemill {least} or newer",
            got=f"Edgemill {here}",
            fix="update Edgemill on this machine",
        )


def in_words(
    needed: Requirements | None,
    runtime: str,
    cpu: str | None = None,
    hint: str | None = None,
    has_plans: bool = False,
) -> str:
    """What a box must have, for people.

    Args:
        needed: of a variant; ``None`` where its bundle does not say.
        cpu, hint: of the same variant.
        has_plans: the variant has; no version of the runtime but ``built_with`` reads them.
    """
    version = f" {needed.least} or newer" if needed and needed.least else ""
    if needed and has_plans:
        version = f" {needed.built_with} for its plans"
    words = [f"{runtime}{version}"]
    words += [f"Python {needed.python} or newer"] if needed else []
    words += [f"a processor with {hint}"] if hint else []
    words += [f"judged on {cpu}"] if cpu else []
    return ", ".join(words)


def release(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with, without idle zeros at the end: ``2025.0`` and ``2025`` are the same."""
    leading = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(number) for number in leading[0].split(".")] if leading else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
