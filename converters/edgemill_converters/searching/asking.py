"""What to try next: optuna's tree-structured Parzen estimator, asked as a pure function.

A study is made anew for every batch, from the trials of all batches before, with chance that is seeded by the search's
seed and the number of these trials. So nothing but the trials has to outlive a kill, and the size of a batch is the
same whoever transforms: equal results ask for equal trials. Of a batch, the trials asked first count as running for
those asked later (the constant liar), so that they do not crowd.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgemill_converters.quantization.settings import MethodName
from edgemill_converters.searching.space import LEAST_CLIPPED, MOST_CLIPPED, ORDERS, Choice, OrderName, Space
from edgemill_core.errors import MissingPartError

if TYPE_CHECKING:
    import optuna

BATCH = 4
"""Trials that are asked for, and transformed, at once."""
_AGAIN = 20
"""Times that another choice is asked for in the place of one that was tried; half of them by chance alone."""


@dataclass(frozen=True)
class Told:
    """A trial that is over; ``values`` are ``None`` where it could not be run."""

    choice: Choice
    values: tuple[float, ...] | None


def check_part() -> None:
    """See that optuna is there.

    Raises:
        MissingPartError: it is not.
    """
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise MissingPartError(
            "a recipe's search: needs optuna, which is not installed",
            expected="optuna",
            got=str(error),
            fix="pip install 'edgemill[search]', or remove search: from the recipe",
        ) from error


def ask(space: Space, seed: int, told: Sequence[Told], count: int) -> list[Choice]:
    """The next ``count`` choices.

    Args:
        told: all trials so far, in their order; each number of objectives the same.
    """
    begun = len(told)
    found = space.opening[begun : begun + count]
    if len(found) == count:
        return found
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    chance = (seed * 1_000_003 + begun) % 2**32
    study = _study(space, told, optuna.samplers.TPESampler(seed=chance, multivariate=False))
    by_chance = optuna.samplers.RandomSampler(seed=chance)
    tried = {one.choice for one in told} | set(space.opening)
    while len(found) < count:
        choice = _fresh(study, space, tried, by_chance)
        tried.add(choice)
        found.append(choice)
    return found


def _study(space: Space, told: Sequence[Told], sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    import optuna

    values = next((one.values for one in told if one.values is not None), (0.0,))
    study = optuna.create_study(directions=["minimize"] * len(values), sampler=sampler)
    for one in told:
        if one.choice.precision != "int8":
            continue  # a trial of its own, beside the space
        params, distributions = _described(space, one.choice)
        state = optuna.trial.TrialState.COMPLETE if one.values is not None else optuna.trial.TrialState.FAIL
        given: dict[str, Any] = {} if one.values is None else {"values": list(one.values)}
        study.add_trial(optuna.trial.create_trial(state=state, params=params, distributions=distributions, **given))
    return study


def _described(space: Space, choice: Choice) -> tuple[dict[str, Any], dict[str, Any]]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    every = {
        "method": CategoricalDistribution(space.methods),
        "clipped": FloatDistribution(LEAST_CLIPPED, MOST_CLIPPED, log=True),
        "samples": CategoricalDistribution(space.samples),
        "bias_correction": CategoricalDistribution((False, True)),
        "float_layers": IntDistribution(0, space.most_float),
        "order": CategoricalDistribution(ORDERS),
    }
    clipped = None if choice.clipped is None else min(max(choice.clipped, LEAST_CLIPPED), MOST_CLIPPED)
    known = {name: getattr(choice, name) for name in every} | {"clipped": clipped}
    params = {name: value for name, value in known.items() if value is not None}
    return params, {name: every[name] for name in params}


def _fresh(study: optuna.Study, space: Space, tried: set[Choice], chance: optuna.samplers.BaseSampler) -> Choice:
    """One that was not tried: the sampler's, else one by chance; of a space that is used up, one that was tried."""
    clever = study.sampler
    for attempt in range(_AGAIN):
        study.sampler = clever if attempt < _AGAIN // 2 else chance
        # What is asked and not told counts as running, so that it is not asked for again.
        choice = _suggested(study.ask(), space)
        if choice not in tried:
            break
    study.sampler = clever
    return choice


def _suggested(trial: optuna.Trial, space: Space) -> Choice:
    method: MethodName = trial.suggest_categorical("method", space.methods)
    clipped = None
    if method == "percentile":
        clipped = float(f"{trial.suggest_float('clipped', LEAST_CLIPPED, MOST_CLIPPED, log=True):.2g}")
    samples = trial.suggest_categorical("samples", space.samples)
    corrected = trial.suggest_categorical("bias_correction", (False, True))
    kept = trial.suggest_int("float_layers", 0, space.most_float)
    order: OrderName = trial.suggest_categorical("order", ORDERS)
    return Choice("int8", method, clipped, samples, corrected, kept, order if kept else ORDERS[0])
