"""How often the judge lets a variant pass whose true drop equals the budget: at most 1 - confidence."""

from __future__ import annotations

import numpy as np
from form import Row, at_most, main, stated

from edgemill_core.statistics import PairedCounts, non_inferiority_p_value

VARIANTS, ALPHA = 2000, 0.05
MONTE_CARLO = 3 * (ALPHA * (1 - ALPHA) / VARIANTS) ** 0.5
CASES = [(400, 0.01, 0.0), (400, 0.01, 0.01), (400, 0.01, 0.05), (1000, 0.005, 0.01), (2000, 0.01, 0.02)]


def pass_rate(n: int, delta: float, worse: float, better: float, seed: int) -> float:
    """Share of simulated variants that pass, in %."""
    draws = np.random.default_rng(seed).multinomial(n, [worse, better, 1 - worse - better], size=VARIANTS)
    passed = sum(non_inferiority_p_value(PairedCounts(n, int(w), int(b)), delta) <= ALPHA for w, b, _ in draws)
    return 100 * passed / VARIANTS


def measure() -> list[Row]:
    rows = []
    for seed, (n, delta, flips) in enumerate(CASES):
        case = f"judge, n {n}, budget {delta:.1%}, flips {flips:.0%}"
        at_budget = pass_rate(n, delta, delta + flips, flips, seed)
        rows.append(
            at_most(case, "passes at a true drop of the budget", "%", at_budget, 100 * (ALPHA + MONTE_CARLO), VARIANTS)
        )
        rows.append(
            stated(case, "passes without any drop", "%", pass_rate(n, delta, flips / 2, flips / 2, seed), VARIANTS)
        )
    return rows


if __name__ == "__main__":
    main(measure)
