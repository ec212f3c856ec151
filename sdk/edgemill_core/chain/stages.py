"""How the models of a chain follow one another, as recipes and manifests say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edgemill_core.inspection.findings import MOST_LISTED
from edgemill_core.tasks import FINDERS, Task
from edgemill_core.validation import Strict

_OF_CROPS = ("classes", "margin", "rotate", "at_most", "required", "lacking", "smallest")

Count = Annotated[int, Field(ge=0, le=MOST_LISTED)]


class Stage(Strict):
    """One model of a chain and where it looks.

    Attributes:
        name: unique in the chain.
        crops_of: an earlier stage; this one looks at what that one found, each by itself. The whole picture (or the
            region that its own input declares) if not said.
        classes: kinds of findings that it looks at; all of them if none is named.
        margin: what is added to a box on every side, as a share of its own width and height.
        rotate: degrees, clockwise, by which a crop is turned before it is looked at.
        at_most: so many crops are looked at, the surest first; more make the part uncertain.
        required: so many there must be.
        lacking: what the part is if there are fewer, or if one of them is too small.
        smallest: pixels of the shorter side below which a crop shows nothing.
        decides: whether the task's own decision counts; if not, the stage only says where to look. What is lacking,
            too small or too much counts in any case.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    crops_of: str | None = None
    classes: tuple[str, ...] = ()
    margin: Annotated[float, Field(ge=0, le=2)] = 0.0
    rotate: Literal[0, 90, 180, 270] = 0
    at_most: Annotated[int, Field(ge=1, le=MOST_LISTED)] = 8
    required: Count = 0
    lacking: Literal["reject", "uncertain"] = "reject"
    smallest: Annotated[int, Field(ge=1)] = 4
    decides: bool = True

    @model_validator(mode="after")
    def _fit_together(self) -> Stage:
        if self.crops_of is None:
            idle = sorted(self.model_fields_set & set(_OF_CROPS), key=_OF_CROPS.index)
            changed = [key for key in idle if getattr(self, key) != type(self).model_fields[key].default]
            if changed:
                raise ValueError(f"{', '.join(changed)}: only with crops_of")
        if self.required > self.at_most:
            raise ValueError("required is not above at_most")
        return self

    def wants(self, kind: str) -> bool:
        """Whether it looks at findings of this class."""
        return not self.classes or kind in self.classes


def check_order(stages: Sequence[Stage]) -> None:
    """Refuse stages that cannot follow one another.

    Raises:
        ValueError: a name twice, crops of a stage that does not come before, or nothing that decides.
    """
    before: list[str] = []
    for stage in stages:
        if stage.name in before:
            raise ValueError(f"two stages are called {stage.name}")
        if stage.crops_of is not None and stage.crops_of not in before:
            earlier = ", ".join(before) or "no stage"
            raise ValueError(f"{stage.name} takes crops of {stage.crops_of}; before it there is {earlier}")
        before.append(stage.name)
    if not any(stage.decides for stage in stages):
        raise ValueError("no stage decides")


def check_tasks(stages: Sequence[Stage], tasks: Mapping[str, Task]) -> None:
    """Refuse crops of what finds nothing, and classes that the finder does not have.

    Raises:
        ValueError: naming the stage.
    """
    for stage in stages:
        if stage.crops_of is None:
            continue
        finder = tasks[stage.crops_of]
        if not isinstance(finder, FINDERS):
            raise ValueError(f"{stage.name} takes crops of {stage.crops_of}, whose task {finder.name} finds no boxes")
        unknown = [name for name in stage.classes if name not in finder.classes]
        if unknown:
            raise ValueError(
                f"{stage.name} takes crops of {', '.join(unknown)}; {stage.crops_of} has {', '.join(finder.classes)}"
            )
