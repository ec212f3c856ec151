"""The cleaning report: what is in a recipe's sets, and what of it would make a build fail or its proof worthless.

``summarise`` and ``findings_in`` are functions of what ``look_at`` saw; ``clean`` reads everything and calls them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from edgemill_converters.data_source import DataSource
from edgemill_converters.readers import samples_of
from edgemill_converters.readers.looking import Seen, look_at
from edgemill_converters.readers.sameness import Register
from edgemill_converters.recipe import Folder
from edgemill_core.engine_input import AnyInput
from edgemill_core.errors import DataError
from edgemill_core.samples import Sample

Looked = tuple[Sample, Seen]
JUDGE, CALIBRATION = "judge", "calibration"
_IMBALANCE = 10
_ODD = 0.05


@dataclass(frozen=True)
class SetSummary:
    """What is in one set.

    Attributes:
        samples: how many.
        failure: why it could not be read at all; everything else is then empty.
        faults: why a sample cannot be used, by name.
        sizes: how many pictures there are of each size, the most common first.
        odd: pictures of a size that few have.
        good, bad: parts, as labelled; what only the task can tell is in neither.
        classes: samples of each class, or pictures that show each class's boxes.
        boxes: labelled boxes of each class.
        unlabelled: samples of which nothing is said.
        flat: pictures in which nothing is to be seen.
        repeated: samples that are the same, group by group.
        rows: they are rows of a table.
    """

    samples: int = 0
    failure: str = ""
    faults: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    odd: tuple[str, ...] = ()
    good: int = 0
    bad: int = 0
    classes: Mapping[str, int] = field(default_factory=dict)
    boxes: Mapping[str, int] = field(default_factory=dict)
    unlabelled: tuple[str, ...] = ()
    flat: tuple[str, ...] = ()
    repeated: tuple[tuple[str, ...], ...] = ()
    rows: bool = False


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or worth a look.

    Attributes:
        role: of the set.
        what: in words.
        samples: which, or groups of which.
        grave: a build would fail by it, or its proof would be worth nothing.
    """

    role: str
    what: str
    samples: tuple[str, ...] = ()
    grave: bool = True


@dataclass(frozen=True)
class Cleaning:
    """The report.

    Attributes:
        sets: by role.
        findings: the grave ones first.
    """

    sets: Mapping[str, SetSummary]
    findings: tuple[Finding, ...]

    @property
    def clean(self) -> bool:
        """Nothing grave was found."""
        return not any(finding.grave for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"clean": self.clean, **asdict(self)}


def clean(
    recipe: Folder,
    sources: Mapping[str, DataSource],
    declared: AnyInput | None,
    check: Callable[[str, list[Sample]], list[Sample]],
    progress: Callable[[str], None],
    labelled: Collection[str] = (JUDGE,),
) -> Cleaning:
    """Read every sample of every set.

    Args:
        recipe: paths are relative to its folder.
        sources: the sets by role.
        declared: what the model looks at.
        check: gives a set of this role as the task has it; raises ``DataError`` if a build would refuse it.
        progress: told what is going on, a few words at a time.
        labelled: roles of which a build refuses a set without labels.

    Raises:
        MissingPartError: a reader needs what is not installed.
    """
    sets: dict[str, Sequence[Looked]] = {}
    failures: dict[str, str] = {}
    findings = []
    for role, source in sources.items():
        try:
            samples = samples_of(recipe, role, source)
        except DataError as error:
            failures[role] = str(error)
            continue
        try:
            samples = check(role, samples)
        except DataError as error:
            findings.append(Finding(role, f"{error.what}: {error.got}" if error.got else error.what))
        sets[role] = [(one, seen) for one, seen in _looked(role, samples, declared, progress)]
    summaries = {
        role: SetSummary(failure=failures[role]) if role in failures else summarise(sets[role]) for role in sources
    }
    findings = [*findings, *findings_in(summaries, labelled), *shared(sets)]
    return Cleaning(summaries, tuple(sorted(findings, key=lambda one: not one.grave)))


def _looked(
    role: str, samples: Sequence[Sample], declared: AnyInput | None, progress: Callable[[str], None]
) -> Iterator[Looked]:
    for index, sample in enumerate(samples):
        if index % 50 == 0:
            progress(f"{role}: {index} of {len(samples)}")
        yield sample, look_at(sample, declared)


def summarise(looked: Sequence[Looked]) -> SetSummary:
    """What is in a set of which each sample was looked at."""
    truths = [sample.truth for sample, _ in looked if sample.truth is not None]
    sizes = Counter(seen.size for _, seen in looked if seen.size)
    few = {size for size, count in sizes.items() if count < max(2, _ODD * len(looked))} if len(sizes) > 1 else set()
    shown = [{box.kind for box in truth.boxes or ()} for truth in truths]
    classes = Counter(truth.class_name for truth in truths if truth.class_name is not None)
    classes.update(kind for kinds in shown for kind in kinds)
    return SetSummary(
        samples=len(looked),
        faults={sample.id: seen.fault for sample, seen in looked if seen.fault},
        sizes=dict(sizes.most_common()),
        odd=tuple(f"{sample.id} ({seen.size})" for sample, seen in looked if seen.size in few),
        good=sum(truth.good is True for truth in truths),
        bad=sum(truth.good is False for truth in truths),
        classes=dict(sorted(classes.items())),
        boxes=dict(sorted(Counter(box.kind for truth in truths for box in truth.boxes or ()).items())),
        unlabelled=tuple(sample.id for sample, _ in looked if sample.truth is None),
        flat=tuple(sample.id for sample, seen in looked if seen.flat),
        repeated=_repeated(looked),
        rows=any(sample.fields for sample, _ in looked),
    )


def _repeated(looked: Sequence[Looked]) -> tuple[tuple[str, ...], ...]:
    groups: dict[str, list[str]] = defaultdict(list)
    for sample, seen in looked:
        if seen.content:
            groups[seen.content].append(sample.id)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def findings_in(sets: Mapping[str, SetSummary], labelled: Collection[str] = (JUDGE,)) -> list[Finding]:
    """What is to be said of each set by itself; ``labelled`` are the roles of sets that must be."""
    return [finding for role, one in sets.items() for finding in _of_set(role, one, role in labelled)]


def _of_set(role: str, one: SetSummary, labelled: bool) -> Iterator[Finding]:
    if one.failure:
        yield Finding(role, one.failure)
        return
    if one.faults:
        yield Finding(role, "cannot be used", tuple(f"{name}: {why}" for name, why in one.faults.items()))
    if one.unlabelled and role != CALIBRATION:
        yield Finding(role, "nobody labelled", one.unlabelled, grave=labelled)
    if one.repeated:
        groups = tuple(" = ".join(group) for group in one.repeated)
        # Rows of few features may well be equal; the same picture or tensors twice are one part that is counted twice.
        yield Finding(role, "the same more than once", groups, grave=role == JUDGE and not one.rows)
    if one.flat:
        yield Finding(role, "nothing is to be seen in", one.flat, grave=False)
    if one.odd:
        yield Finding(role, f"sizes that few have (most have {next(iter(one.sizes))})", one.odd, grave=False)
    yield from _balance(role, one)


def _balance(role: str, one: SetSummary) -> Iterator[Finding]:
    counts = one.classes or {name: count for name, count in (("good", one.good), ("bad", one.bad)) if count}
    if counts and max(counts.values()) > _IMBALANCE * min(counts.values()):
        rare, common = min(counts, key=lambda name: counts[name]), max(counts, key=lambda name: counts[name])
        said = f"out of balance: {counts[common]:,} of {common} against {counts[rare]:,} of {rare}"
        yield Finding(role, said, grave=False)


def shared(sets: Mapping[str, Sequence[Looked]]) -> list[Finding]:
    """Samples of one set that are in another one too: the same pixels, whatever the files are, or the same numbers."""
    first = Register()
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for role, looked in sets.items():
        for sample, seen in looked:
            other, name = first.first(sample, seen.content, role, sample.id) if seen.content else (role, sample.id)
            if other != role:
                found[other, role].append(f"{name} = {sample.id}")
    return [Finding(role, f"also in {other}", tuple(pairs)) for (other, role), pairs in found.items()]
