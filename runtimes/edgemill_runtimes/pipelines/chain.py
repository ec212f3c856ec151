"""Several engines, one after the other: the first looks at the picture, a later one at what an earlier one found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgemill_core.chain import Crops, Look, Seen, Stage, StageSaw, conclude, crops_in
from edgemill_core.errors import RecipeError
from edgemill_core.picture_input import PictureInput, Region
from edgemill_core.tasks import FINDERS, Task
from edgemill_core.verdict import Verdict
from edgemill_runtimes.engines import EngineFacts
from edgemill_runtimes.frames import Frame, check_frame, crop, prepare, read_picture
from edgemill_runtimes.pipelines.base import NOTHING_KNOWN, Part, Pipeline, wrong_kind
from edgemill_runtimes.pipelines.one_model import ModelPipeline


@dataclass(frozen=True)
class OpenStage:
    """A stage with its engine."""

    stage: Stage
    model: ModelPipeline


@dataclass(frozen=True)
class ChainFacts:
    """What the engines of a chain really run on, by stage."""

    stages: Mapping[str, EngineFacts]

    @property
    def runtime(self) -> str:
        """Of all stages."""
        return next(iter(self.stages.values())).runtime

    @property
    def device(self) -> str:
        """Those of all stages, each once."""
        return ", ".join(dict.fromkeys(facts.device for facts in self.stages.values()))

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        stages = {name: facts.as_dict() for name, facts in self.stages.items()}
        return {"runtime": self.runtime, "device": self.device, "stages": stages}


class ChainPipeline(Pipeline):
    """All stages of a chain on one runtime; one crop is looked at after the other."""

    def __init__(self, stages: Sequence[OpenStage]) -> None:
        self.stages = tuple(stages)
        self._place = {one.stage.name: index for index, one in enumerate(self.stages)}
        self.declared = self.stages[0].model.declared

    def __call__(self, part: Part, context: Mapping[str, str] = NOTHING_KNOWN) -> Verdict:
        """Decide on one part, see ``Pipeline``."""
        if isinstance(part, Mapping):
            raise wrong_kind("a picture", "numbers")
        return conclude(self.look(read_picture(Path(part)) if isinstance(part, (str, Path)) else part, context))

    def look(
        self, frame: Frame, context: Mapping[str, str] = NOTHING_KNOWN, tasks: Mapping[str, Task] | None = None
    ) -> tuple[StageSaw, ...]:
        """What each stage sees.

        Args:
            frame: the whole picture.
            context: given to every stage.
            tasks: by stage, instead of the pipeline's own.

        Raises:
            InputError: not a frame, or smaller than a region that a stage's input declares.
        """
        check_frame(frame)
        tasks = tasks or {one.stage.name: one.model.task for one in self.stages}
        saw: list[StageSaw] = []
        for one in self.stages:
            saw.append(self._stage(one, tasks, frame, context, saw))
        return tuple(saw)

    def _stage(
        self,
        one: OpenStage,
        tasks: Mapping[str, Task],
        frame: Frame,
        context: Mapping[str, str],
        before: Sequence[StageSaw],
    ) -> StageSaw:
        stage, model, declared = one.stage, one.model, one.model.declared
        assert isinstance(declared, PictureInput)
        if stage.crops_of is None:
            outputs = model.outputs(prepare(frame, declared))
            return StageSaw(stage, (Seen(None, tasks[stage.name].verdict(outputs, context)),))
        finder = before[self._place[stage.crops_of]]
        crops = _crops(stage, finder, self._region(finder.stage, frame), frame)
        as_cropped = declared.model_copy(update={"region": None})
        seen = []
        for found in crops.taken:
            verdict = None
            if found.look is not None:
                part = prepare(crop(frame, found.look.region, found.look.rotate), as_cropped)
                verdict = tasks[stage.name].verdict(model.outputs(part), context)
            seen.append(Seen(found, verdict))
        return StageSaw(stage, tuple(seen), crops, _doubt(tasks[stage.crops_of]))

    def _region(self, stage: Stage, frame: Frame) -> Region:
        """What a stage that looks at the picture is shown of it."""
        declared = self.stages[self._place[stage.name]].model.declared
        assert isinstance(declared, PictureInput)
        height, width = frame.shape[:2]
        return declared.region or Region(x=0, y=0, width=width, height=height)

    @property
    def runtime(self) -> str:
        """Name of the runtime that all engines are on."""
        return self.stages[0].model.runtime

    @property
    def is_tuned(self) -> bool:
        """Whether a task has a box's own settings."""
        return any(one.model.is_tuned for one in self.stages)

    def tune(self, own: Mapping[str, Any]) -> None:
        """Give the tasks a box's own settings, ``{stage: {setting: value}}``; see ``Pipeline``."""
        unknown = [name for name, settings in own.items() if name not in self._place or not isinstance(settings, dict)]
        if unknown:
            raise RecipeError(
                "a chain is tuned stage by stage",
                expected=" | ".join(f"{name}: {{…}}" for name in self._place),
                got=", ".join(unknown),
                fix="mend `tune:` of the station",
            )
        for one in self.stages:
            one.model.tune(own.get(one.stage.name, {}))

    def warm_up(self) -> None:
        """Run every engine a few times on nothing."""
        for one in self.stages:
            one.model.warm_up()

    def facts(self) -> ChainFacts:
        """What the engines really run on, by stage."""
        return ChainFacts({one.stage.name: one.model.facts() for one in self.stages})

    def close(self) -> None:
        """Free the engines."""
        for one in self.stages:
            one.model.close()

    def __enter__(self) -> ChainPipeline:
        return self


def _crops(stage: Stage, finder: StageSaw, region: Region, frame: Frame) -> Crops:
    looks = [
        (seen.crop.look if seen.crop is not None and seen.crop.look is not None else Look(region), seen.verdict.reading)
        for seen in finder.seen
        if seen.verdict is not None
    ]
    height, width = frame.shape[:2]
    return crops_in(stage, looks, (width, height))


def _doubt(task: Task) -> float:
    return min(1.0, max(0.0, task.listed_from)) if isinstance(task, FINDERS) else 0.0
