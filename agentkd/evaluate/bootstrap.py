"""Intervals by resampling tasks: several attempts at one task are not independent.

Tasks are drawn with replacement, each with all its attempts, and the 2.5 and 97.5 percentiles of
the statistic are the interval (Efron, "Bootstrap methods: another look at the jackknife", 1979; for
clusters, Field and Welsh, "Bootstrapping clustered data", 2007). The draws are seeded, so that the
same episodes always give the same interval.

Where all tasks came out alike, resampling would call the outcome certain. There the interval says
instead what the tasks do not rule out: a share of tasks that come out differently, at most the
upper end of the Wilson interval of none among as many. With one task that is nearly everything.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agentkd.evaluate.statistics import wilson_interval

RESAMPLES = 10_000
_INDICES_AT_ONCE = 1 << 22

Interval = tuple[float, float]


def rate_interval(
    tasks: Sequence[tuple[int, int]],
    confidence: float = 0.95,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Cluster bootstrap interval of the success rate over all attempts.

    `tasks` holds (successes, attempts) of each task. (0, 1) if there is no attempt.
    """
    counts = np.array([task for task in tasks if task[1]], dtype=np.float64).reshape(-1, 2)
    if not len(counts):
        return (0.0, 1.0)
    if _is_constant(counts[:, 0] / counts[:, 1]):
        return _unanimous(float(counts[0, 0] / counts[0, 1]), len(counts), (0.0, 1.0), confidence)
    successes, attempts = _resampled_sums(counts, resamples, seed).T
    return _percentiles(successes / attempts, confidence)


def difference_interval(
    differences: Sequence[float],
    confidence: float = 0.95,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Paired bootstrap interval of a mean difference in success.

    `differences` holds, for each task that both sides played, the success rate of the one minus
    that of the other. (-1, 1) if there is none.
    """
    values = np.array(differences, dtype=np.float64).reshape(-1, 1)
    if not len(values):
        return (-1.0, 1.0)
    if _is_constant(values[:, 0]):
        return _unanimous(float(values[0, 0]), len(values), (-1.0, 1.0), confidence)
    sums = _resampled_sums(values, resamples, seed)[:, 0]
    return _percentiles(sums / len(values), confidence)


def _resampled_sums(rows: NDArray[np.float64], resamples: int, seed: int) -> NDArray[np.float64]:
    """Column sums of `resamples` draws of as many rows as there are, shape (resamples, columns)."""
    count = len(rows)
    random = np.random.default_rng(seed)
    at_once = max(1, _INDICES_AT_ONCE // count)
    return np.concatenate(
        [
            rows[random.integers(0, count, (min(at_once, resamples - start), count))].sum(axis=1)
            for start in range(0, resamples, at_once)
        ]
    )


def _percentiles(values: NDArray[np.float64], confidence: float) -> Interval:
    outside = (1 - confidence) / 2
    low, high = np.quantile(values, [outside, 1 - outside])
    return (float(low), float(high))


def _is_constant(values: NDArray[np.float64]) -> bool:
    return bool(np.ptp(values) < 1e-12)


def _unanimous(value: float, tasks: int, span: Interval, confidence: float) -> Interval:
    """What the mean may be if every one of `tasks` tasks came out as `value`."""
    otherwise = wilson_interval(0, tasks, confidence)[1]
    return (
        value - otherwise * (value - span[0]),
        value + otherwise * (span[1] - value),
    )
