"""One data set in a recipe: which reader reads it, from where, and how much of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from edgemill_core.validation import Strict

COMMON = ("share", "take")
"""Keys that go with every reader."""


class Place(Strict):
    """What a reader needs to know. The first field is where the set lies, and what a text alone is short for."""

    @classmethod
    def spelled_out(cls, written: object) -> object:
        """The long form of a short one."""
        return {next(iter(cls.model_fields)): written} if isinstance(written, str) else written

    @property
    def parts(self) -> tuple[str, dict[str, Any]]:
        """Where the set lies, and the options."""
        options = dict(self)
        return str(options.pop(next(iter(options)))), options


class MvtecFolder(Place):
    """The folder of one category of MVTec AD; ``part`` is which of its two folders of pictures is read."""

    folder: str
    part: Literal["train", "test"] = "test"


class YoloFolder(Place):
    """A folder of pictures, and the file that names the classes; the nearest one above the pictures if ``None``."""

    folder: str
    names: Path | None = None


class VocFolder(Place):
    """A folder in Pascal VOC's layout; ``part`` is a list in ``ImageSets/Main``, everything if ``None``."""

    folder: str
    part: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")] | None = None


class RowTable(Place):
    """A table, and what its columns are called.

    Attributes:
        file: CSV or Parquet, by its suffix.
        item: the column that names the row; the first one if ``None``.
        outcome, class_name, good: columns of labels; those that the table does not have label nothing. ``None`` where
            a feature is called so.
        ignore: columns that are not read.
    """

    file: str
    item: str | None = None
    outcome: str | None = "outcome"
    class_name: Annotated[str | None, Field(alias="class")] = "class"
    good: str | None = "good"
    ignore: tuple[str, ...] = ()


class EvidenceFolder(Place):
    """What ``edgemill ledger evidence --export`` wrote; ``unlabelled`` parts are kept, or left out."""

    folder: str
    unlabelled: Literal["keep", "leave out"] = "keep"


class DataSource(Strict):
    """One data set; exactly one reader is named.

    Attributes:
        labels: a CSV file, or a folder with ``labels.csv``.
        pictures: a folder of pictures without labels.
        tensors: a folder of ``.npz`` or ``.npy`` without labels.
        rows: a table with the model's features and with labels, CSV or Parquet.
        coco: a JSON file with boxes, in COCO's form.
        classes: a folder with a folder of pictures for each class.
        mvtec: a category in the layout of MVTec AD.
        yolo: a folder of pictures with boxes in YOLO's text files.
        voc: a folder with boxes in Pascal VOC's XML.
        evidence: parts that a box judged and somebody labelled.
        function: ``package.module:function`` that gives samples; it is run.
        share: only samples whose name falls between these two of 0 to 1, by a hash: what does not overlap shares none.
        take: use only the first so many, in the order of the reader.
    """

    labels: str | None = None
    pictures: str | None = None
    tensors: str | None = None
    rows: Annotated[RowTable, BeforeValidator(RowTable.spelled_out)] | None = None
    coco: str | None = None
    classes: str | None = None
    mvtec: Annotated[MvtecFolder, BeforeValidator(MvtecFolder.spelled_out)] | None = None
    yolo: Annotated[YoloFolder, BeforeValidator(YoloFolder.spelled_out)] | None = None
    voc: Annotated[VocFolder, BeforeValidator(VocFolder.spelled_out)] | None = None
    evidence: Annotated[EvidenceFolder, BeforeValidator(EvidenceFolder.spelled_out)] | None = None
    function: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")] | None = None
    share: tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]] | None = None
    take: Annotated[int, Field(gt=0)] | None = None

    @field_validator("share")
    @classmethod
    def _rises(cls, share: tuple[float, float] | None) -> tuple[float, float] | None:
        if share is not None and share[0] >= share[1]:
            raise ValueError("two numbers that rise, e.g. [0, 0.3]")
        return share

    @model_validator(mode="after")
    def _one_reader(self) -> DataSource:
        if len(self._named) != 1:
            raise ValueError(f"name exactly one of: {', '.join(reader_keys())}")
        return self

    @property
    def _named(self) -> list[str]:
        return [name for name in reader_keys() if getattr(self, name) is not None]

    @property
    def reader(self) -> tuple[str, str, dict[str, Any]]:
        """Name of the reader, where it reads, and its options; paths among these are relative to the recipe."""
        (name,) = self._named
        value = getattr(self, name)
        where, options = value.parts if isinstance(value, Place) else (str(value), {})
        return name, where, options


def reader_keys() -> tuple[str, ...]:
    """Keys that name a reader."""
    return tuple(name for name in DataSource.model_fields if name not in COMMON)
