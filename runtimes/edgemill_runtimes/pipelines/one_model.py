"""One engine with the pre-processing and the task that belong to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgemill_core.engine_input import AnyInput
from edgemill_core.row_input import RowInput
from edgemill_core.tasks import Task, tuned
from edgemill_core.tensor_files import read_tensors
from edgemill_core.tensor_input import TensorInput
from edgemill_core.tensors import Array
from edgemill_core.verdict import Verdict
from edgemill_runtimes.engines import Engine, EngineFacts
from edgemill_runtimes.frames import prepare, read_picture
from edgemill_runtimes.pipelines.base import NOTHING_KNOWN, Part, Pipeline, wrong_kind


class ModelPipeline(Pipeline):
    """An engine, how its input is prepared, and the task that reads its output."""

    def __init__(self, engine: Engine, declared: AnyInput, task: Task) -> None:
        self.engine = engine
        self.declared = declared
        self.task = task
        self._built = task
        self._input = engine.inputs[0].name

    def __call__(self, part: Part, context: Mapping[str, str] = NOTHING_KNOWN) -> Verdict:
        """Decide on one part, see ``Pipeline``."""
        return self.decide(self._prepared(part), context)

    @property
    def depth(self) -> int:
        """How many parts at once keep the engine busy: one, if it is tuned for the time of one run."""
        return self.engine.best_depth() if self.engine.settings.mode == "throughput" else 1

    def begin(self, part: Part, context: Mapping[str, str] = NOTHING_KNOWN) -> Callable[[], Verdict]:
        """Begin with one part, see ``Pipeline``."""
        started, task = self.engine.start({self._input: self._prepared(part)}), self.task
        return lambda: task.verdict(self.engine.finish(started), context)

    def _prepared(self, part: Part) -> Array:
        if isinstance(self.declared, TensorInput):
            return _tensors(part, self.declared)
        if isinstance(part, Mapping):
            if isinstance(self.declared, RowInput):
                return self.declared.prepare(part)
            raise wrong_kind("a picture", "numbers")
        if isinstance(self.declared, RowInput):
            raise wrong_kind(f"numbers: {', '.join(self.declared.names)}", "a picture")
        frame = read_picture(Path(part)) if isinstance(part, (str, Path)) else part
        return prepare(frame, self.declared)

    def decide(self, prepared: Array, context: Mapping[str, str] = NOTHING_KNOWN) -> Verdict:
        """Decide on a prepared input, as ``self.declared`` makes it."""
        return self.task.verdict(self.outputs(prepared), context)

    def outputs(self, prepared: Array) -> dict[str, Array]:
        """The engine's bare outputs for a prepared input."""
        return self.engine.run({self._input: prepared})

    @property
    def runtime(self) -> str:
        """Name of the engine's runtime."""
        return self.engine.runtime

    @property
    def is_tuned(self) -> bool:
        """Whether the task has a box's own settings."""
        return self.task != self._built

    def tune(self, own: Mapping[str, Any]) -> None:
        """Give the task a box's own settings, see ``Pipeline``."""
        self.task = tuned(self._built, own)

    def warm_up(self) -> None:
        """Run the engine a few times on nothing."""
        self.engine.warm_up()

    def facts(self) -> EngineFacts:
        """What the engine really runs on."""
        return self.engine.facts()

    def close(self) -> None:
        """Free the engine."""
        self.engine.close()

    def __enter__(self) -> ModelPipeline:
        return self


def _tensors(part: Part, declared: TensorInput) -> Array:
    if isinstance(part, Mapping):
        return declared.prepare(part)
    if isinstance(part, (str, Path)):
        return read_tensors(Path(part), declared)
    raise wrong_kind(f"tensors: {', '.join(declared.names)}", "a picture")
