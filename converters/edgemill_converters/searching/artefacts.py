"""What trials are made of: files laid out once, statistics of calibration, and the graphs that a crew makes of both."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgemill_converters.bake import BakedModel
from edgemill_converters.judging import prepare_set
from edgemill_converters.quantization.plan import Plan
from edgemill_converters.quantization.trials import SearchSet
from edgemill_converters.recipe import Recipe
from edgemill_converters.searching.crews import Crew
from edgemill_converters.searching.settings import Search
from edgemill_converters.searching.space import Choice, OrderName
from edgemill_converters.searching.transforming import Transformed, collect_statistics, transform
from edgemill_core.durable import write_bytes
from edgemill_core.samples import Sample
from edgemill_runtimes.machine import Machine

Orders = Mapping[OrderName, tuple[str, ...]]


@dataclass(frozen=True)
class Given:
    """What a search starts from.

    Attributes:
        plan: of plain INT8.
        calibration: samples, all of them.
        samples: the search set, labelled, and disjoint from the judge's.
        memory: folder for what must outlive a kill.
    """

    recipe: Recipe
    settings: Search
    baked: BakedModel
    plan: Plan
    calibration: Sequence[Sample]
    samples: Sequence[Sample]
    machine: Machine
    memory: Path


@dataclass(frozen=True)
class Files:
    """A folder, and in it the baked graph, and the search set as engine inputs."""

    folder: Path
    graph: Path
    prepared: Path


@contextmanager
def laid_out(given: Given, searched: SearchSet) -> Iterator[Files]:
    """Write them into a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as name:
        files = Files(Path(name), Path(name, "fp32.onnx"), Path(name, "search.npy"))
        files.graph.write_bytes(given.baked.graph.SerializeToString(deterministic=True))
        np.save(files.prepared, searched.prepared, allow_pickle=False)
        yield files


class Artefacts:
    """The graphs of choices. Statistics are kept in ``given.memory``; graphs, which are large, are not."""

    def __init__(self, given: Given, crew: Crew, files: Files) -> None:
        self.crew = crew
        self.files = files
        self._given = given
        self._pictures: Path | None = None

    def of(self, choices: Sequence[Choice], orders: Orders, runtime: str) -> list[Transformed]:
        """The graphs of all choices, made side by side.

        Raises:
            ClusterError, StepCrashed: those who transform are gone.
            DataError, ModelError: the model cannot be calibrated.
        """
        self._collect({choice.samples for choice in choices if choice.precision == "int8"})
        graph, given = self.crew.share(self.files.graph), self._given
        calls = []
        for choice in choices:
            statistics = self.crew.share(self._statistics(choice.samples)) if choice.precision == "int8" else None
            bits = given.machine.int8_weight_bits
            order = orders[choice.order]
            calls.append((transform, graph, statistics, choice, order, runtime, bits, given.machine))
        return self.crew.run(calls)

    def _statistics(self, count: int) -> Path:
        return self._given.memory / f"statistics-{count}.npz"

    def _collect(self, counts: set[int]) -> None:
        missing = sorted(count for count in counts if not self._statistics(count).is_file())
        if not missing:
            return
        graph, pictures = self.crew.share(self.files.graph), self.crew.share(self._prepared())
        names = [str(sample.picture) for sample in self._given.calibration]
        found = self.crew.run([(collect_statistics, graph, pictures, names, count) for count in missing])
        for count, content in zip(missing, found, strict=True):
            write_bytes(self._statistics(count), content)

    def _prepared(self) -> Path:
        """All calibration pictures as engine inputs, ``.npy``; never all of them in memory."""
        if self._pictures is None:
            rows: Any = None
            path, samples = self.files.folder / "calibration.npy", self._given.calibration
            for place, sample in enumerate(samples):
                row = prepare_set([sample], self._given.recipe.input)
                if rows is None:
                    rows = np.lib.format.open_memmap(path, "w+", row.dtype, (len(samples), *row.shape[1:]))
                rows[place] = row[0]
            rows.flush()
            self._pictures = path
        return self._pictures
