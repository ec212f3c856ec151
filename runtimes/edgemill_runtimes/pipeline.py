"""Bundle + picture or numbers → verdict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING

from edgemill_core.bundle import Bundle, VariantEntry
from edgemill_core.errors import EdgemillError, EngineError, InputError, MissingPartError
from edgemill_core.picture_input import PictureInput
from edgemill_core.row_input import RowInput
from edgemill_core.tasks import Task
from edgemill_core.tensors import Array
from edgemill_core.verdict import Verdict
from edgemill_runtimes.engines import Engine, EngineFacts, EngineSettings, load
from edgemill_runtimes.frames import Frame, prepare, read_picture

if TYPE_CHECKING:
    from edgemill_runtimes.isolation.process import Isolation

NOTHING_KNOWN: Mapping[str, str] = MappingProxyType({})


class Pipeline:
    """An engine with the pre-processing and the task that belong to it. Use it as a context manager."""

    def __init__(self, engine: Engine, declared: PictureInput | RowInput, task: Task) -> None:
        self.engine = engine
        self.declared = declared
        self.task = task
        self._input = engine.inputs[0].name

    def __call__(
        self, part: Frame | Path | str | Mapping[str, object], context: Mapping[str, str] = NOTHING_KNOWN
    ) -> Verdict:
        """Decide on one part.

        Args:
            part: a frame (``uint8[height, width, 3]``, blue-green-red) or a picture's file; for a model that takes
                numbers, the numbers by name.
            context: what the line knows of this part, e.g. ``{"expected": "L7K42B"}``.

        Raises:
            InputError: the picture cannot be read or is too small; the numbers are not those that the model takes; or
                the model takes the one and got the other.
        """
        return self.decide(self._prepared(part), context)

    def _prepared(self, part: Frame | Path | str | Mapping[str, object]) -> Array:
        if isinstance(part, Mapping):
            if isinstance(self.declared, RowInput):
                return self.declared.prepare(part)
            raise _wrong_kind("a picture", "numbers")
        if isinstance(self.declared, RowInput):
            raise _wrong_kind(f"numbers: {', '.join(self.declared.names)}", "a picture")
        frame = read_picture(Path(part)) if isinstance(part, (str, Path)) else part
        return prepare(frame, self.declared)

    def decide(self, prepared: Array, context: Mapping[str, str] = NOTHING_KNOWN) -> Verdict:
        """Decide on a prepared input, ``uint8[1, height, width, channels]`` or ``float64[1, features]``."""
        return self.task.verdict(self.outputs(prepared), context)

    def outputs(self, prepared: Array) -> dict[str, Array]:
        """The engine's bare outputs for a prepared input."""
        return self.engine.run({self._input: prepared})

    def facts(self) -> EngineFacts:
        """What the engine really runs on."""
        return self.engine.facts()

    def close(self) -> None:
        """Free the engine."""
        self.engine.close()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _wrong_kind(expected: str, got: str) -> InputError:
    return InputError(
        "the bundle's model takes something else",
        expected=expected,
        got=got,
        fix="use a bundle whose task fits, or another source",
    )


def open_pipeline(
    bundle: Bundle,
    runtime: str | None = None,
    settings: EngineSettings | None = None,
    isolated: bool | Isolation = False,
) -> Pipeline:
    """Load the bundle's best variant, or the one for ``runtime``; ``isolated`` as for ``load``.

    Without ``runtime`` the variants are tried in the order of the manifest, best first; only a runtime that is
    *not installed* is passed over, and if none is left the error names them all.

    Raises:
        EngineError: the bundle has no variant for ``runtime``.
        MissingPartError: no runtime of the bundle's variants is installed here.
    """
    if runtime is not None:
        return _pipeline(bundle, variant_for(bundle, runtime), settings, isolated)
    missing: list[EdgemillError] = []
    for variant in bundle.model.variants:
        try:
            return _pipeline(bundle, variant, settings, isolated)
        except MissingPartError as error:
            missing.append(error)
    raise MissingPartError(
        "none of the bundle's runtimes is installed here",
        expected=" | ".join(variant.runtime for variant in bundle.model.variants),
        got="; ".join(error.what for error in missing),
        fix=missing[0].fix,
    )


def variant_for(bundle: Bundle, runtime: str) -> VariantEntry:
    """The bundle's variant for ``runtime``.

    Raises:
        EngineError: there is none.
    """
    for variant in bundle.model.variants:
        if variant.runtime == runtime:
            return variant
    raise EngineError(
        f"the bundle has no variant for {runtime!r}",
        expected=" | ".join(variant.runtime for variant in bundle.model.variants),
        got=runtime,
        fix=f"name one of these, or add `- {{runtime: {runtime}}}` under targets: in the recipe and build again",
    )


def _pipeline(
    bundle: Bundle, variant: VariantEntry, settings: EngineSettings | None, isolated: bool | Isolation
) -> Pipeline:
    engine = load(variant.runtime, bundle.path(variant.graph), settings or EngineSettings(variant.device), isolated)
    return Pipeline(engine, bundle.model.input, bundle.task)
