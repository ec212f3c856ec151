"""What a build starts from: the recipe, its sets and its model, with digests of their contents."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from edgemill_converters import judging
from edgemill_converters.building.files import FileDigests
from edgemill_converters.building.plain import digest_of, plain
from edgemill_converters.candidates import ExtraVariant
from edgemill_converters.importers import locate_model, model_digest
from edgemill_converters.labelling import check_labels, settled
from edgemill_converters.readers import check_disjoint, read_set
from edgemill_converters.recipe import Recipe
from edgemill_converters.set_digests import digests_of
from edgemill_core.samples import Sample
from edgemill_core.tasks import Task
from edgemill_runtimes.machine import Machine


@dataclass(frozen=True)
class Inputs:
    """Samples, and what their engine inputs are made from: a digest each, of the picture or the row; masks likewise."""

    samples: list[Sample]
    contents: list[str]
    masks: list[str] = field(default_factory=list)

    @cached_property
    def labels(self) -> object:
        """What is known of each sample beside its input, ``plain``; where its files lie is no part of it."""
        told = [replace(one, truth=replace(one.truth, mask=None) if one.truth else None) for one in self.samples]
        return [[{n: v for n, v in plain(one).items() if n != "picture"} for one in told], self.masks]


@dataclass(frozen=True)
class Sources:
    """What a build starts from.

    Attributes:
        judge, calibration, search: the sets, those that the recipe names.
        model_file: name of the model's file, of the first of several, or of the function that gives it.
        model_sha256: of the model, as ``ImportedModel.digest``.
        model_contents: digests of all its files, weights that lie apart included, and what kind each is of.
        model_parts: distributions that a function which gives it imports.
        digests: of recipe and sets, by name.
        extra: further variants to render.
        machine: this one.
        cluster: address of the scheduler that transforming trials are sent to; ``None`` for this machine.
        cores: processors that this process may use.
    """

    recipe: Recipe
    task: Task
    judge: Inputs
    calibration: Inputs
    search: Inputs
    model_file: str
    model_sha256: str
    model_contents: list[list[str]]
    model_parts: tuple[str, ...]
    digests: dict[str, str]
    extra: Sequence[ExtraVariant]
    machine: Machine
    cluster: str | None = None
    cores: list[int] = field(default_factory=lambda: sorted(os.sched_getaffinity(0)))


def read_sources(
    recipe: Recipe,
    task: Task,
    extra: Sequence[ExtraVariant],
    machine: Machine,
    digests: FileDigests,
    cluster: str | None = None,
) -> Sources:
    """Read the sets and find the model.

    Raises:
        DataError: a set is empty, not labelled, or shares a sample with another one.
        ModelError, MissingPartError: the model's file is not there.
    """
    given = {"calibration": recipe.data.calibration, "search": recipe.data.search, "judge": recipe.data.judge}
    sets = {role: read_set(recipe, role, source) if source is not None else [] for role, source in given.items()}
    for role, samples in sets.items():
        sets[role] = settled_as(role, samples, recipe, task)
        check_role(role, sets[role], recipe)
    check_disjoint(sets, digests.of)
    found = {role: inputs_of(samples, digests) for role, samples in sets.items()}
    model = locate_model(recipe)
    return Sources(
        recipe,
        task,
        found["judge"],
        found["calibration"],
        found["search"],
        model.name,
        model_digest(digests.of_all(model.files)),
        [[name, digests.of(path)] for name, path in model.contents],
        model.parts,
        digests_of(recipe, sets, digests.of),
        extra,
        machine,
        cluster,
    )


def settled_as(role: str, samples: list[Sample], recipe: Recipe, task: Task) -> list[Sample]:
    """A set of this role as the task has it; what is for calibration stays as it is, and needs no labels.

    Raises:
        DataError: see ``settled``.
    """
    return samples if role == "calibration" else settled(samples, task, recipe.input, role)


def check_role(role: str, samples: list[Sample], recipe: Recipe) -> None:
    """Refuse a set that lacks the labels which its role needs; those to search on need some if there is a search.

    Raises:
        DataError: labels that a metric needs are lacking, or a sample has none.
    """
    if needs_labels(role, recipe):
        check_labels([budget.metric for budget in recipe.budget], samples, role)
        judging.truths_of(samples, role)


def needs_labels(role: str, recipe: Recipe) -> bool:
    """Whether a build would refuse a set of this role without labels."""
    return role == "judge" or (role == "search" and recipe.searches)


def inputs_of(samples: list[Sample], digests: FileDigests) -> Inputs:
    """The samples of one set, with the digests of their files."""
    masks = [digests.of(one.truth.mask) if one.truth and one.truth.mask else "" for one in samples]
    return Inputs(samples, [_content(one, digests) for one in samples], masks if any(masks) else [])


def _content(sample: Sample, digests: FileDigests) -> str:
    return digest_of(sample.fields) if sample.fields else digests.of(sample.picture)
