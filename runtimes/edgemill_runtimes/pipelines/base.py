"""The contract of a pipeline: one or more engines that answer a part with one verdict."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Protocol, Union

from edgemill_core.engine_input import AnyInput
from edgemill_core.errors import InputError
from edgemill_core.verdict import Verdict
from edgemill_runtimes.frames import Frame

NOTHING_KNOWN: Mapping[str, str] = MappingProxyType({})
Part = Union[Frame, Path, str, Mapping[str, object]]  # noqa: UP007 (3.10)


class Facts(Protocol):
    """What engines really run on."""

    @property
    def runtime(self) -> str:
        """Name as in recipes."""

    @property
    def device(self) -> str:
        """The devices in use, as the runtime reports them."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""


class Pipeline(ABC):
    """Everything between a part and its verdict. Use it as a context manager."""

    declared: AnyInput
    """What the first model looks at."""

    @abstractmethod
    def __call__(self, part: Part, context: Mapping[str, str] = NOTHING_KNOWN) -> Verdict:
        """Decide on one part.

        Args:
            part: a frame (``uint8[height, width, 3]``, blue-green-red) or a picture's file; for a model that takes
                numbers, the numbers by name; for one that takes tensors, arrays by name, or the file that holds them.
            context: what the line knows of this part, e.g. ``{"expected": "L7K42B"}``.

        Raises:
            InputError: the picture cannot be read or is too small; the numbers are not those that the model takes; or
                the model takes the one and got the other.
        """

    @property
    def depth(self) -> int:
        """How many parts at once keep the engines busy."""
        return 1

    def begin(self, part: Part, context: Mapping[str, str] = NOTHING_KNOWN) -> Callable[[], Verdict]:
        """Begin with one part, as ``__call__``; what this gives waits for the verdict.

        The part stays untouched until then.
        """
        return lambda: self(part, context)

    @property
    @abstractmethod
    def runtime(self) -> str:
        """Name of the runtime, the same for every engine of the pipeline."""

    @abstractmethod
    def tune(self, own: Mapping[str, Any]) -> None:
        """Give the tasks a box's own settings, those of the bundle otherwise; of a chain by stage.

        Raises:
            RecipeError: one of them is not for a box to set.
        """

    @abstractmethod
    def warm_up(self) -> None:
        """Run every engine a few times on nothing."""

    @abstractmethod
    def facts(self) -> Facts:
        """What the engines really run on."""

    @abstractmethod
    def close(self) -> None:
        """Free the engines."""

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def wrong_kind(expected: str, got: str) -> InputError:
    """A model that takes pictures got numbers, or the other way round."""
    return InputError(
        "the bundle's model takes something else",
        expected=expected,
        got=got,
        fix="use a bundle whose task fits, or another source",
    )
