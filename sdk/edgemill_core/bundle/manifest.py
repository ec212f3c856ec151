"""What a bundle says of itself. The one place where its form is written down."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from edgemill_core.bundle.requirements import Requirements
from edgemill_core.chain import Stage, check_order, check_tasks
from edgemill_core.durable import canonical_json, sha256_bytes
from edgemill_core.engine_input import EngineInput
from edgemill_core.errors import BundleError, RecipeError
from edgemill_core.picture_input import PictureInput
from edgemill_core.precision_hint import PrecisionHint
from edgemill_core.tasks import task_from
from edgemill_core.tensor_input import TensorInput
from edgemill_core.validation import Strict, first_complaint

SCHEMA_MAJOR, SCHEMA_MINOR = 1, 0
CHAIN_MINOR = 1
"""Schema of a bundle with a chain; an agent that knows only 1.0 refuses the key ``chain``."""
HINT_MINOR = 2
"""Schema of a bundle with a precision hint; an older agent refuses that key, and so never runs the variant without."""
TASKS_MINOR = 3
"""Schema of a bundle whose model takes tensors, or of a task that was not there before; an older agent refuses both."""
REQUIREMENTS_MINOR = 4
"""Schema of a bundle whose variants say what they need of a box; an older agent would not look, and refuses the key."""
PLANS_MINOR = 5
"""Schema of a bundle with plans, or judged through a stand-in; an older agent refuses both keys."""
NEWEST_MINOR = PLANS_MINOR
MIN_AGENT = "0.1.0"
_FIRST_TASKS = ("image-classification", "market-risk", "object-detection", "segmentation", "text-recognition")


def check_file_name(name: str) -> str:
    """Refuse any name that could leave the bundle's folder.

    Raises:
        ValueError: absolute, upward, empty, or with characters that some file system reads otherwise.
    """
    plain = re.fullmatch(r"[A-Za-z0-9_.\-]+(/[A-Za-z0-9_.\-]+)*", name)
    if not plain or {".", ".."} & set(name.split("/")):
        raise ValueError(f"a file name must stay inside the bundle, {name!r} need not")
    return name


class FileEntry(Strict):
    """A file of the bundle."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(ge=0, lt=1 << 60)]


class GoldenEntry(Strict):
    """What a variant answered to the golden inputs when it was built.

    Attributes:
        outputs: ``.npy`` file, ``[samples, …]``, of the task's output.
        decisions: this variant's decision per sample.
        tolerance: largest absolute difference of outputs that this runtime may show on another box of its kind.
        stand_in: what gave the answers in the stead of the variant's own runtime, which did not run where it was built.
    """

    outputs: str
    decisions: tuple[str, ...]
    tolerance: Annotated[float, Field(gt=0)]
    stand_in: Annotated[str, Field(min_length=1, max_length=200)] | None = None

    @model_serializer(mode="wrap")
    def _without_nothing(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What needed no stand-in reads as it did before there were any."""
        told: dict[str, Any] = dump(self)
        if self.stand_in is None:
            told.pop("stand_in", None)
        return told


class VariantEntry(Strict):
    """A variant that ships: a graph, its weights, and how to run it.

    Attributes:
        name: e.g. ``onnxruntime-cpu-int8``.
        graph: ONNX file; its weights lie in ``weights`` as external data.
        precision: the recipe's word for what it computes in, e.g. ``fp32`` or ``int8``.
        plans: what the graph was compiled to beforehand, each for some kinds of GPU; its facts lie beside it under its
            name and ``.json``.
        cpu: instruction family that the INT8 arithmetic was measured on; ``None`` where it does not matter.
        precision_hint: what its engine must be told, because no runtime reads it in the graph.
        requires: what a box must have; ``None`` in a bundle that was built before this was said.
    """

    name: str
    runtime: str
    device: str
    precision: str
    graph: str
    weights: str
    plans: tuple[Annotated[str, Field(pattern=r"\.plan$")], ...] = ()
    cpu: str | None = None
    precision_hint: PrecisionHint | None = None
    requires: Requirements | None = None
    golden: GoldenEntry

    @model_serializer(mode="wrap")
    def _without_nothing(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A variant without a hint, without requirements or plans, reads as it did before there were any."""
        told: dict[str, Any] = dump(self)
        for key in ("precision_hint", "requires", "plans"):
            if not getattr(self, key):
                told.pop(key, None)
        return told

    @property
    def files(self) -> tuple[str, ...]:
        """All that are its own: graph, weights, golden outputs, plans and their facts."""
        facts = tuple(f"{plan}.json" for plan in self.plans)
        return (self.graph, self.weights, self.golden.outputs, *self.plans, *facts)


class GoldenInputs(Strict):
    """The golden samples: engine inputs, and whole frames that prove the pre-processing.

    Attributes:
        inputs: ``.npy`` file, ``uint8[samples, height, width, channels]`` ``float64[samples, features]`` or
            ``float32 | int64[samples, values]``.
        contexts: per sample, what the line knew.
        reference: the reference's decision per sample.
        frames: picture files, whole frames; none for a model that takes numbers or tensors.
        prepared: per frame, SHA-256 of the bytes that crop and resize must give.
    """

    inputs: str
    contexts: tuple[dict[str, str], ...]
    reference: tuple[str, ...]
    frames: tuple[str, ...]
    prepared: tuple[str, ...]


class ModelEntry(Strict):
    """One model of the bundle with its variants, best first."""

    name: str
    task: dict[str, Any]
    input: EngineInput
    golden: GoldenInputs
    variants: Annotated[tuple[VariantEntry, ...], Field(min_length=1)]


class Origin(Strict):
    """The bundle that a stage's model was taken from, with everything that was proved of it there."""

    name: str
    version: str
    content_digest: str


class GoldenFrames(Strict):
    """Whole pictures with what the chain said of them when it was built.

    Attributes:
        frames: picture files.
        contexts: per frame, what the line knew.
        good: per frame, its label.
        decisions: by runtime, the chain's decision per frame.
        looks: by runtime, per frame and in the order of the stages, how often each looked.
    """

    frames: Annotated[tuple[str, ...], Field(min_length=1)]
    contexts: tuple[dict[str, str], ...]
    good: tuple[bool, ...]
    decisions: dict[str, tuple[str, ...]]
    looks: dict[str, tuple[tuple[int, ...], ...]]


class Chain(Strict):
    """How the bundle's models follow one another.

    Attributes:
        stages: one a model, in the order of ``models`` and under its name.
        origins: where each model comes from.
        runtimes: those that the chain was judged on, best first; each model has one variant for each.
    """

    stages: Annotated[tuple[Stage, ...], Field(min_length=2)]
    origins: tuple[Origin, ...]
    runtimes: Annotated[tuple[str, ...], Field(min_length=1)]
    golden: GoldenFrames

    @field_validator("stages")
    @classmethod
    def _in_order(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        check_order(stages)
        return stages


class Manifest(Strict):
    """The bundle's table of contents.

    Attributes:
        chain: of a bundle with several models.
        files: everything whose bytes make the bundle what it is, by path.
        records: files about the machine it was built on (measurements, report): verified when the bundle is
            opened, but no part of the content digest.
    """

    schema_version: str
    min_agent: str
    name: str
    version: str
    models: Annotated[tuple[ModelEntry, ...], Field(min_length=1)]
    files: dict[str, FileEntry]
    records: dict[str, FileEntry] = Field(default_factory=dict)
    chain: Chain | None = None

    @model_serializer(mode="wrap")
    def _without_nothing(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A bundle of one model reads as it did before there were chains, and has the same digest."""
        told: dict[str, Any] = dump(self)
        if self.chain is None:
            told.pop("chain", None)
        return told

    @model_validator(mode="after")
    def _chain_fits(self) -> Manifest:
        if self.chain is None:
            if len(self.models) > 1:
                raise ValueError("several models without a chain")
            return self
        names, stages = [model.name for model in self.models], [stage.name for stage in self.chain.stages]
        if names != stages or len(self.chain.origins) != len(stages):
            raise ValueError(f"the chain is of {', '.join(stages)}, the models are {', '.join(names)}")
        if any(not isinstance(model.input, PictureInput) for model in self.models):
            raise ValueError("a model of the chain takes no pictures")
        for model in self.models:
            if [variant.runtime for variant in model.variants] != list(self.chain.runtimes):
                raise ValueError(f"model {model.name} has other variants than one for each of the chain's runtimes")
        try:
            check_tasks(self.chain.stages, {model.name: task_from(model.task) for model in self.models})
        except RecipeError as error:
            raise ValueError(error.what) from error
        return self

    @field_validator("files", "records")
    @classmethod
    def _inside(cls, files: dict[str, FileEntry]) -> dict[str, FileEntry]:
        for name in files:
            check_file_name(name)
        return files

    @property
    def size_bytes(self) -> int:
        """Of all files, records too; not of the manifest itself."""
        return sum(entry.bytes for entry in {**self.records, **self.files}.values())

    @property
    def content_digest(self) -> str:
        """SHA-256 over everything but ``records``: equal for equal content, wherever it was built."""
        return sha256_bytes(canonical_json(self.model_dump(mode="json", exclude={"records"})))


def schema_version(models: Iterable[ModelEntry], chain: bool = False) -> str:
    """The oldest version of the form that can say all of this, so that older agents read what they can."""
    needs = [SCHEMA_MINOR, CHAIN_MINOR if chain else SCHEMA_MINOR]
    for model in models:
        needs += [HINT_MINOR for variant in model.variants if variant.precision_hint is not None]
        needs += [REQUIREMENTS_MINOR for variant in model.variants if variant.requires is not None]
        needs += [PLANS_MINOR for one in model.variants if one.plans or one.golden.stand_in is not None]
        if isinstance(model.input, TensorInput) or model.task.get("name") not in _FIRST_TASKS:
            needs.append(TASKS_MINOR)
    return f"{SCHEMA_MAJOR}.{max(needs)}"


def parse_manifest(content: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        BundleError: not JSON, of a newer major version, or not of the form above.
    """
    import json

    try:
        raw = json.loads(content)
        version = str(raw["schema_version"])
        major = int(version.split(".")[0])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(
            "the bundle's manifest cannot be read",
            expected='a JSON object with "schema_version"',
            got=f"{type(error).__name__}: {error}",
            fix="get the bundle again; this copy is damaged",
        ) from error
    if major != SCHEMA_MAJOR:
        raise BundleError(
            "the bundle is of another major version of the format",
            expected=f"schema {SCHEMA_MAJOR}.x",
            got=f"schema {version}",
            fix="update Edgemill on this machine" if major > SCHEMA_MAJOR else "rebuild the bundle",
        )
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        where, complaint, got = first_complaint(error)
        newer = _minor(version) > NEWEST_MINOR
        raise BundleError(
            f"the bundle is of schema {version}, and says more than this Edgemill reads, at {where!r}"
            if newer
            else f"the bundle's manifest is wrong at {where!r}",
            expected=f"schema {SCHEMA_MAJOR}.{NEWEST_MINOR} or older" if newer else complaint,
            got=got,
            fix="update Edgemill on this machine" if newer else "get the bundle again, from somebody you trust",
        ) from error


def _minor(version: str) -> int:
    minor = version.partition(".")[2]
    return int(minor[:6]) if minor.isdecimal() else 0
