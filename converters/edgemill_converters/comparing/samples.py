"""On what two sides are compared: a set of the user's, a bundle's golden samples, or numbers drawn by chance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgemill_converters.comparing.sides import Side
from edgemill_converters.judging import prepare_set
from edgemill_converters.labelling import settled
from edgemill_converters.readers import READERS
from edgemill_core.bundle import Bundle
from edgemill_core.engine_input import EngineInput
from edgemill_core.errors import DataError, InputError
from edgemill_core.picture_input import PictureInput, Region
from edgemill_core.row_input import RowInput
from edgemill_core.samples import Sample
from edgemill_core.tensor_input import TensorInput
from edgemill_core.tensors import Array, TensorSpec
from edgemill_runtimes.benching.feeds import Shapes, drawn, read_samples
from edgemill_runtimes.engines import Engine
from edgemill_runtimes.frames import encode_png
from edgemill_runtimes.proof import load_array

Feeds = dict[str, Array]


@dataclass(frozen=True)
class Compared:
    """The samples, and how each side is fed with one.

    Attributes:
        what: for people, e.g. "32 golden samples".
        samples: in order.
        feeds: of both sides, for the sample of this number.
        region: of the samples' pictures that A looks at; ``None`` for all of them.
    """

    what: str
    samples: Sequence[Sample]
    feeds: Callable[[int], tuple[Feeds, Feeds]]
    region: Region | None = None

    def __iter__(self) -> Iterator[tuple[Sample, Feeds, Feeds]]:
        for index, sample in enumerate(self.samples):
            yield sample, *self.feeds(index)


def choose_samples(
    sides: tuple[Side, Side],
    engines: tuple[Engine, Engine],
    data: Path | None,
    inputs: Path | None,
    shapes: Shapes,
    folder: Path,
) -> Compared:
    """What there is to compare on.

    Args:
        sides: the two.
        engines: theirs.
        data: the user's set: a folder of pictures or tensors, a folder or CSV of labelled ones, COCO's JSON, or a CSV
            of rows.
        inputs: samples of bare graphs, ``.npz``.
        shapes: of inputs that a bare graph leaves open.
        folder: for pictures of golden samples.

    Raises:
        DataError: the set cannot be read.
        InputError: the sides take different things, or more is given than goes together.
    """
    bundles = [side.bundle for side in sides if side.bundle]
    if bundles and (inputs or shapes):
        raise InputError(
            "a bundle brings its own samples",
            expected="--set, or nothing",
            got="--inputs or --shape",
            fix="leave it out",
        )
    if bundles and data:
        return _of_set(data, sides, engines)
    if bundles:
        return _golden(bundles[0], sides, engines, folder)
    if data:
        raise InputError(
            "two bare graphs do not say how a set is prepared for them",
            expected="a bundle on one side at least, or --inputs",
            got="--set with two graphs",
            fix="write prepared samples with numpy.savez and give them with --inputs",
        )
    return _bare(engines, inputs, shapes)


def _declared(sides: tuple[Side, Side]) -> tuple[EngineInput, EngineInput]:
    """How each side is fed; a bare graph as the bundle on the other side."""
    found = [side.bundle.model.input if side.bundle else None for side in sides]
    first, second = found[0] or found[1], found[1] or found[0]
    assert first is not None
    assert second is not None
    return first, second


def _of_set(data: Path, sides: tuple[Side, Side], engines: tuple[Engine, Engine]) -> Compared:
    declared = _declared(sides)
    task = next(side.bundle.task for side in sides if side.bundle)
    samples = settled(_read(data, declared[0]), task, declared[0], "--set")

    def feeds(index: int) -> tuple[Feeds, Feeds]:
        a, b = (
            {engine.inputs[0].name: prepare_set([samples[index]], one)}
            for engine, one in zip(engines, declared, strict=True)
        )
        return a, b

    region = declared[0].region if isinstance(declared[0], PictureInput) else None
    return Compared(f"{len(samples):,} samples of {data}", samples, feeds, region)


def _read(data: Path, declared: EngineInput) -> list[Sample]:
    found = list(READERS[_reader(data, declared)](data))
    if not found:
        raise DataError(
            f"there is nothing in {data}", expected="at least one sample", got="none", fix="name another set with --set"
        )
    return found


def _reader(data: Path, declared: EngineInput) -> str:
    if isinstance(declared, RowInput):
        return "rows"
    if data.suffix.lower() == ".json":
        return "coco"
    if data.is_file() or (data / "labels.csv").is_file():
        return "labels"
    return "tensors" if isinstance(declared, TensorInput) else "pictures"


def _golden(bundle: Bundle, sides: tuple[Side, Side], engines: tuple[Engine, Engine], folder: Path) -> Compared:
    first, second = _declared(sides)
    if first != second:
        raise InputError(
            "the two bundles prepare their input in different ways",
            expected="a set that each can prepare for itself",
            got="golden samples of one of them",
            fix="name pictures or rows with --set",
        )
    golden = bundle.model.golden
    rows = load_array(bundle, golden.inputs)
    samples = [
        Sample(f"golden {index}", _picture(row, first, folder / f"{index}.png"), dict(context))
        for index, (row, context) in enumerate(zip(rows, golden.contexts, strict=True))
    ]

    def feeds(index: int) -> tuple[Feeds, Feeds]:
        a, b = ({engine.inputs[0].name: np.ascontiguousarray(rows[index][None])} for engine in engines)
        return a, b

    return Compared(f"{len(samples):,} golden samples of {bundle.manifest.name}", samples, feeds)


def _picture(row: Array, declared: EngineInput, path: Path) -> Path:
    """What the engine sees, as a picture for the report."""
    if isinstance(declared, PictureInput) and row.ndim == 3 and row.shape[2] == 3:
        path.write_bytes(encode_png(row.astype(np.uint8)))
    return path


def _bare(engines: tuple[Engine, Engine], inputs: Path | None, shapes: Shapes) -> Compared:
    first, second = engines
    found = read_samples(inputs, first.inputs) if inputs else drawn(first.inputs, shapes)
    names = _other_names(first.inputs, second.inputs)
    count = len(next(iter(found.values())))

    def feeds(index: int) -> tuple[Feeds, Feeds]:
        a = {name: np.ascontiguousarray(rows[index]) for name, rows in found.items()}
        return a, {names[name]: array for name, array in a.items()}

    what = f"{count:,} samples of {inputs}" if inputs else f"{count:,} samples drawn by chance"
    return Compared(what, [Sample(f"sample {index}", Path()) for index in range(count)], feeds)


def _other_names(first: Sequence[TensorSpec], second: Sequence[TensorSpec]) -> dict[str, str]:
    names, others = [spec.name for spec in first], [spec.name for spec in second]
    if set(names) == set(others):
        return {name: name for name in names}
    if len(names) == len(others) == 1:
        return {names[0]: others[0]}
    raise InputError(
        "the two graphs do not take the same",
        expected="; ".join(map(str, first)),
        got="; ".join(map(str, second)),
        fix="compare graphs of the same model",
    )
