"""Run a whole chain on the judge's pictures, on one runtime, and let the budgets decide."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from edgemill_converters.chaining.recipe import ChainRecipe
from edgemill_converters.chaining.result import RuntimeResult
from edgemill_converters.judging import truths_of
from edgemill_core.bundle import Bundle
from edgemill_core.chain import conclude
from edgemill_core.rate_budget import judge_rate
from edgemill_core.samples import Sample
from edgemill_core.verdict import Verdict
from edgemill_runtimes.frames import read_picture
from edgemill_runtimes.pipeline import open_chain, variant_for
from edgemill_runtimes.proof import looks_of


def judge_runtime(
    recipe: ChainRecipe,
    bundles: Sequence[Bundle],
    samples: Sequence[Sample],
    runtime: str,
    progress: Callable[[str], None],
) -> RuntimeResult:
    """The chain's verdict on every sample; engines run in processes of their own, so that none takes the build along.

    Raises:
        DataError: a sample has no label.
        InputError: a picture cannot be read, or is smaller than a region that a stage looks at.
        MissingPartError: the runtime is not installed.
    """
    truths = truths_of(samples)
    verdicts: list[Verdict] = []
    looks: list[tuple[int, ...]] = []
    milliseconds: list[float] = []
    stages = [source.stage for source in recipe.chain]
    with open_chain(stages, bundles, runtime, isolated=True) as pipeline:
        pipeline.warm_up()
        for index, sample in enumerate(samples):
            if index % 50 == 0:
                progress(f"judging the chain on {runtime}, {index} of {len(samples)}")
            frame = read_picture(sample.picture)
            start = time.perf_counter()
            saw = pipeline.look(frame, sample.context)
            verdicts.append(conclude(saw))
            milliseconds.append((time.perf_counter() - start) * 1e3)
            looks.append(looks_of(saw))
    return RuntimeResult(
        runtime=runtime,
        variants=tuple(variant_for(bundle, runtime).name for bundle in bundles),
        verdicts=tuple(verdicts),
        looks=tuple(looks),
        milliseconds=tuple(milliseconds),
        judgements=tuple(judge_rate(budget, truths, verdicts) for budget in recipe.budget),
    )
