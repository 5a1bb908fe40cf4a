"""Statistics of success: exact formulas for rates, repeated attempts and paired outcomes.

Intervals by resampling are in `agentkd.evaluate.bootstrap`.
"""

import math
from collections.abc import Iterable
from statistics import NormalDist, fmean


def wilson_interval(successes: int, episodes: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion; (0, 1) if there is no episode.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference" (1927).
    """
    if episodes == 0:
        return (0.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate, spread = successes / episodes, z * z / episodes
    centre = (rate + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(rate * (1 - rate) / episodes + spread / episodes / 4)
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == episodes else min(1.0, centre + half)
    return (low, high)


def pass_at_k(tasks: Iterable[tuple[int, int]], k: int) -> float | None:
    """Chance that at least one of `k` attempts at a task succeeds, averaged over tasks.

    `tasks` holds (successes, attempts) of each; a task with fewer than `k` attempts says nothing
    and is left out. None if no task is left. Unbiased: 1 - C(n - c, k) / C(n, k).
    Source: Chen et al., "Evaluating Large Language Models Trained on Code" (2107.03374).
    """
    return _mean(
        1 - math.comb(attempts - successes, k) / math.comb(attempts, k)
        for successes, attempts in tasks
        if attempts >= k
    )


def pass_hat_k(tasks: Iterable[tuple[int, int]], k: int) -> float | None:
    """Chance that all of `k` attempts at a task succeed (pass^k), averaged over tasks.

    `tasks` is as for `pass_at_k`. Unbiased: C(c, k) / C(n, k).
    Source: Yao et al., "tau-bench" (2406.12045).
    """
    return _mean(
        math.comb(successes, k) / math.comb(attempts, k)
        for successes, attempts in tasks
        if attempts >= k
    )


def mcnemar_exact(gained: int, lost: int) -> float:
    """Two-sided exact p-value that gains and losses among paired outcomes are equally likely.

    1 if no pair differs. Source: McNemar, "Note on the sampling error of the difference between
    correlated proportions or percentages" (1947), with the binomial distribution as it is.
    """
    pairs = gained + lost
    term = tail = 1
    for count in range(min(gained, lost)):
        term = term * (pairs - count) // (count + 1)
        tail += term
    return min(1.0, 2 * tail / (1 << pairs))


def _mean(values: Iterable[float]) -> float | None:
    listed = list(values)
    return fmean(listed) if listed else None
