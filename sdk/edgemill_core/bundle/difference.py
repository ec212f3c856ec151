"""What tells two bundles apart. Pure functions of their manifests and cards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edgemill_core.bundle.card import Card, JudgedCard
from edgemill_core.bundle.manifest import Manifest, ModelEntry, VariantEntry

ABSENT = None
"""What stands for a key that one side does not have."""


@dataclass(frozen=True)
class KeyDifference:
    """A key of the manifest, dotted, whose values differ; ``None`` where one side lacks it."""

    key: str
    a: Any
    b: Any


@dataclass(frozen=True)
class FileDifference:
    """A file that is in one of the two, or of other content in each.

    Attributes:
        a, b: its size in bytes; ``None`` where it is not there.
    """

    name: str
    a: int | None
    b: int | None


@dataclass(frozen=True)
class GoldenDifference:
    """What a variant of both decides otherwise.

    Attributes:
        samples: golden samples; 0 where the two were not asked the same, and so cannot be compared.
        differ: those decided otherwise, by position.
    """

    variant: str
    samples: int
    differ: tuple[int, ...]


@dataclass(frozen=True)
class JudgedDifference:
    """How a variant of both was judged on a metric; ``None`` where one side was not."""

    variant: str
    metric: str
    a: JudgedCard | None
    b: JudgedCard | None


@dataclass(frozen=True)
class Difference:
    """What tells bundle A from bundle B.

    Attributes:
        same: their content is the same; measurements and report may differ.
        keys: of the manifest, file tables, sizes and decisions aside.
        files: those that differ; ``equal`` are the names of the others.
        bytes_b: of all files of B.
        held_bytes: of these, what a box that holds A needs not fetch, wherever in A it lies.
    """

    same: bool
    keys: tuple[KeyDifference, ...]
    files: tuple[FileDifference, ...]
    equal: tuple[str, ...]
    bytes_b: int
    held_bytes: int
    golden: tuple[GoldenDifference, ...]
    judged: tuple[JudgedDifference, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        judged = [
            {
                "variant": one.variant,
                "metric": one.metric,
                "a": one.a.model_dump(mode="json") if one.a else None,
                "b": one.b.model_dump(mode="json") if one.b else None,
            }
            for one in self.judged
        ]
        told = {name: value for name, value in vars(self).items() if name not in ("keys", "files", "golden", "judged")}
        apart = {name: [asdict(one) for one in getattr(self, name)] for name in ("keys", "files", "golden")}
        return {**told, **apart, "equal": list(self.equal), "judged": judged}


def difference(a: Manifest, b: Manifest, card_a: Card | None = None, card_b: Card | None = None) -> Difference:
    """Compare two bundles.

    Args:
        card_a, card_b: of bundles that have one.
    """
    names = sorted({*a.files, *b.files})
    equal = tuple(n for n in names if n in a.files and n in b.files and a.files[n].sha256 == b.files[n].sha256)
    differ = tuple(FileDifference(n, _size(a, n), _size(b, n)) for n in names if n not in equal)
    held = {entry.sha256 for entry in a.files.values()}
    fetched = {entry.sha256: entry.bytes for entry in b.files.values()}
    return Difference(
        same=a.content_digest == b.content_digest,
        keys=tuple(_keys(a, b)),
        files=differ,
        equal=equal,
        bytes_b=sum(fetched.values()),
        held_bytes=sum(size for digest, size in fetched.items() if digest in held),
        golden=tuple(_golden(a, b)),
        judged=tuple(_judged(card_a, card_b)),
    )


def _size(manifest: Manifest, name: str) -> int | None:
    return manifest.files[name].bytes if name in manifest.files else None


def _keys(a: Manifest, b: Manifest) -> Iterator[KeyDifference]:
    left, right = dict(_flat(_told(a))), dict(_flat(_told(b)))
    for key in dict.fromkeys([*left, *right]):
        if left.get(key, ABSENT) != right.get(key, ABSENT):
            yield KeyDifference(key, left.get(key, ABSENT), right.get(key, ABSENT))


def _told(manifest: Manifest) -> dict[str, Any]:
    """The manifest with what other parts of the comparison say left out, and variants by name rather than place."""
    raw: dict[str, Any] = manifest.model_dump(mode="json", exclude={"files", "records"})
    for model in raw["models"]:
        for variant in model["variants"]:
            variant["golden"].pop("decisions")
        model["best first"] = [variant["name"] for variant in model["variants"]]
        model["variants"] = {variant["name"]: variant for variant in model["variants"]}
    raw["models"] = {model["name"]: model for model in raw["models"]}
    return raw


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf by its dotted key; a list is a leaf, because its places are no names."""
    if not isinstance(value, Mapping) or not value:
        yield key, value
        return
    for name, inner in value.items():
        yield from _flat(inner, f"{key}.{name}" if key else name)


def _golden(a: Manifest, b: Manifest) -> Iterator[GoldenDifference]:
    left, right = _variants(a), _variants(b)
    for name in left:
        if name in right:
            yield _decided(name, (a, *left[name]), (b, *right[name]))


_Side = tuple[Manifest, ModelEntry, VariantEntry]


def _decided(name: str, a: _Side, b: _Side) -> GoldenDifference:
    if _asked(a) != _asked(b):
        return GoldenDifference(name, 0, ())
    before, after = a[2].golden.decisions, b[2].golden.decisions
    return GoldenDifference(name, len(before), tuple(i for i, one in enumerate(before) if after[i] != one))


def _asked(side: _Side) -> object:
    manifest, model, variant = side
    entry = manifest.files.get(model.golden.inputs)
    return entry and entry.sha256, model.golden.contexts, len(variant.golden.decisions)


def _variants(manifest: Manifest) -> dict[str, tuple[ModelEntry, VariantEntry]]:
    """By name; of a chain with the model's before it."""
    chained = manifest.chain is not None
    return {
        f"{model.name}/{variant.name}" if chained else variant.name: (model, variant)
        for model in manifest.models
        for variant in model.variants
    }


def _judged(a: Card | None, b: Card | None) -> Iterator[JudgedDifference]:
    left, right = ({(one.variant, one.metric): one for one in card.judged} if card else {} for card in (a, b))
    for key in dict.fromkeys([*left, *right]):
        if left.get(key) != right.get(key):
            yield JudgedDifference(*key, left.get(key), right.get(key))
