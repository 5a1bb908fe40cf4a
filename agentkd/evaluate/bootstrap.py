"""Intervals by resampling tasks: several attempts at one task are not independent.

Tasks are drawn with replacement, each with all its attempts, and the 2.5 and 97.5 percentiles of
the statistic are the interval (Efron, "Bootstrap methods: another look at the jackknife", 1979; for
clusters, Field and Welsh, "Bootstrapping clustered data", 2007). The draws are seeded, so that the
same episodes always give the same interval.

Where nearly all tasks come out alike, resampling calls the outcome nearly certain. So what is
reported, `rate_interval` and `difference_interval`, also holds the interval that a few imagined
tasks, half of them solved, would give; with many tasks it makes no difference.
"""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
_INDICES_AT_ONCE = 1 << 22

Interval = tuple[float, float]
TaskCount = tuple[int, int]
"""Successes and graded attempts of one task."""


def rate_interval(tasks: Sequence[TaskCount], confidence: float = 0.95) -> Interval:
    """Interval of the success rate over all attempts; (0, 1) if there is none.

    Holds the cluster bootstrap's and Agresti and Coull's, the latter with tasks in place of trials
    (Agresti and Coull, "Approximate is better than 'exact' for interval estimation of binomial
    proportions", 1998). `tasks` holds (successes, attempts) of each task.
    """
    rates = np.array([solved / played for solved, played in tasks if played])
    if not len(rates):
        return (0.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    padded = _padded_interval(rates, z, imagined=z * z, mean=0.5, square=0.5)
    return _hull(cluster_bootstrap(tasks, confidence), padded, (0.0, 1.0))


def difference_interval(differences: Sequence[float], confidence: float = 0.95) -> Interval:
    """Interval of a mean difference in success between two sides; (-1, 1) if there is no task.

    Holds the paired bootstrap's and that of Bonett and Price, who imagine one more task gained and
    one more lost ("Adjusted Wald confidence interval for a difference of binomial proportions based
    on paired data", 2012). `differences` holds, for each task that both sides played, the success
    rate of the one minus that of the other.
    """
    if not differences:
        return (-1.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    padded = _padded_interval(np.array(differences), z, imagined=2, mean=0.0, square=1.0)
    return _hull(paired_bootstrap(differences, confidence), padded, (-1.0, 1.0))


def cluster_bootstrap(
    tasks: Sequence[TaskCount],
    confidence: float = 0.95,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Percentile interval of the success rate over all attempts, tasks drawn whole.

    `tasks` holds (successes, attempts) of at least one task with an attempt.
    """
    counts = np.array([task for task in tasks if task[1]], dtype=np.float64)
    successes, attempts = _resampled_sums(counts, resamples, seed).T
    return _percentiles(successes / attempts, confidence)


def paired_bootstrap(
    differences: Sequence[float],
    confidence: float = 0.95,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a mean difference, over at least one task."""
    values = np.array(differences, dtype=np.float64).reshape(-1, 1)
    return _percentiles(_resampled_sums(values, resamples, seed)[:, 0] / len(values), confidence)


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


def _padded_interval(
    values: NDArray[np.float64], z: float, *, imagined: float, mean: float, square: float
) -> Interval:
    """Normal interval of a mean, with `imagined` further values of the given mean and square."""
    count = len(values) + imagined
    middle = (values.sum() + imagined * mean) / count
    variance = ((values**2).sum() + imagined * square) / count - middle**2
    half = z * np.sqrt(variance / count)
    return (float(middle - half), float(middle + half))


def _hull(one: Interval, other: Interval, span: Interval) -> Interval:
    """The interval that holds both, cut off at the ends of what is possible."""
    return (max(span[0], min(one[0], other[0])), min(span[1], max(one[1], other[1])))
