"""Statistics agree with references, have the coverage they promise, and admit ignorance."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, bootstrap
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from agentkd.evaluate.bootstrap import (
    cluster_bootstrap,
    difference_interval,
    paired_bootstrap,
    rate_interval,
)
from agentkd.evaluate.statistics import mcnemar_exact, pass_at_k, pass_hat_k, wilson_interval

TASKS = st.lists(
    st.integers(1, 8).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=1
)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_equals_scipy_and_statsmodels(case: tuple[int, int]) -> None:
    successes, episodes = case
    scipy_says = binomtest(successes, episodes).proportion_ci(0.95, method="wilson")
    statsmodels_says = proportion_confint(successes, episodes, method="wilson")
    for reference in ((scipy_says.low, scipy_says.high), statsmodels_says):
        assert wilson_interval(successes, episodes) == pytest.approx(reference, abs=1e-9)


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_equals_statsmodels(gained: int, lost: int) -> None:
    reference = mcnemar([[7, gained], [lost, 3]], exact=True).pvalue
    assert mcnemar_exact(gained, lost) == pytest.approx(min(1.0, reference), abs=1e-9)


def test_mcnemar_by_hand() -> None:
    assert mcnemar_exact(0, 0) == 1
    assert mcnemar_exact(6, 0) == 2 / 2**6
    assert mcnemar_exact(5, 5) == 1
    assert mcnemar_exact(9_000, 0) == 0


@given(TASKS, st.integers(1, 8))
def test_pass_at_k_and_pass_hat_k_equal_counting_all_draws(
    tasks: list[tuple[int, int]], k: int
) -> None:
    any_of, all_of = [], []
    for successes, attempts in tasks:
        outcomes = [index < successes for index in range(attempts)]
        draws = list(combinations(outcomes, k))
        if draws:
            any_of.append(sum(map(any, draws)) / len(draws))
            all_of.append(sum(map(all, draws)) / len(draws))
    if not any_of:
        assert pass_at_k(tasks, k) is None
        assert pass_hat_k(tasks, k) is None
        return
    assert pass_at_k(tasks, k) == pytest.approx(np.mean(any_of), abs=1e-9)
    assert pass_hat_k(tasks, k) == pytest.approx(np.mean(all_of), abs=1e-9)


def test_pass_at_k_is_unbiased() -> None:
    rates = np.array([0.1, 0.5, 0.8])
    random = np.random.default_rng(5)
    estimates = [
        (
            pass_at_k([(int(count), 6) for count in counts], 3),
            pass_hat_k([(int(count), 6) for count in counts], 3),
        )
        for counts in random.binomial(6, rates, (4_000, 3))
    ]
    at, hat = np.mean(estimates, axis=0)
    assert at == pytest.approx(np.mean(1 - (1 - rates) ** 3), abs=0.01)
    assert hat == pytest.approx(np.mean(rates**3), abs=0.01)


def test_cluster_bootstrap_equals_scipy() -> None:
    random = np.random.default_rng(1)
    attempts = random.integers(1, 6, 40)
    successes = random.binomial(attempts, random.beta(1, 2, 40))
    reference = bootstrap(
        (successes, attempts),
        lambda won, played, axis: won.sum(axis) / played.sum(axis),
        paired=True,
        n_resamples=10_000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    tasks = list(zip(successes.tolist(), attempts.tolist(), strict=True))
    assert cluster_bootstrap(tasks) == pytest.approx((reference.low, reference.high), abs=1e-9)


def test_paired_bootstrap_equals_scipy() -> None:
    differences = np.random.default_rng(2).choice([-1.0, 0.0, 0.5, 1.0], 75)
    reference = bootstrap(
        (differences,),
        np.mean,
        n_resamples=10_000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    ours = paired_bootstrap(differences.tolist())
    assert ours == pytest.approx((reference.low, reference.high), abs=1e-9)


def test_many_tasks_are_drawn_in_parts_that_are_the_same_as_the_whole() -> None:
    tasks = [(index % 3 == 0, 1) for index in range(30_000)]
    low, high = cluster_bootstrap(tasks, resamples=300)
    assert (low + high) / 2 == pytest.approx(1 / 3, abs=0.002)
    values = np.array(tasks, dtype=float)[:, 0]
    reference = bootstrap(
        (values,), np.mean, n_resamples=300, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert (low, high) == pytest.approx((reference.low, reference.high), abs=1e-9)


@settings(max_examples=25)
@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_single_attempts_are_within_agresti_and_coulls_interval(case: tuple[int, int]) -> None:
    successes, count = case
    reference = proportion_confint(successes, count, method="agresti_coull")
    low, high = rate_interval([(index < successes, 1) for index in range(count)])
    assert low <= reference[0] + 1e-9
    assert high >= reference[1] - 1e-9
    if successes in (0, count):
        expected = (max(0.0, reference[0]), min(1.0, reference[1]))
        assert (low, high) == pytest.approx(expected, abs=1e-9)


def test_paired_interval_holds_that_of_bonett_and_price() -> None:
    gained, lost, count = 12, 0, 40
    up, down = (gained + 1) / (count + 2), (lost + 1) / (count + 2)
    half = 1.959963984540054 * math.sqrt((up + down - (up - down) ** 2) / (count + 2))
    low, high = difference_interval([1.0] * gained + [0.0] * (count - gained))
    assert low == pytest.approx(up - down - half, abs=1e-9)
    assert high >= up - down + half


def test_coverage_with_tasks_of_different_difficulty() -> None:
    """An interval that took attempts for independent would be too short."""
    random = np.random.default_rng(7)
    trials, attempts, truth = 150, 4, 0.5 / 1.2
    covered = naive = 0
    for solved in random.binomial(attempts, random.beta(0.5, 0.7, (trials, 60))):
        low, high = rate_interval([(int(one), attempts) for one in solved])
        covered += low <= truth <= high
        low, high = wilson_interval(int(solved.sum()), solved.size * attempts)
        naive += low <= truth <= high
    assert covered / trials >= 0.93
    assert naive / trials < 0.88


def test_coverage_where_few_tasks_are_ever_solved() -> None:
    """Resampling alone would be too short."""
    random = np.random.default_rng(8)
    trials, attempts, truth = 150, 4, 0.3 / 6.3
    covered = resampled = 0
    for solved in random.binomial(attempts, random.beta(0.3, 6.0, (trials, 30))):
        tasks = [(int(one), attempts) for one in solved]
        low, high = rate_interval(tasks)
        covered += low <= truth <= high
        low, high = cluster_bootstrap(tasks)
        resampled += low <= truth <= high
    assert covered / trials >= 0.95
    assert resampled / trials < 0.94


def test_coverage_of_wilson() -> None:
    random = np.random.default_rng(8)
    counts = random.binomial(100, 0.3, 4_000)
    intervals = [wilson_interval(int(count), 100) for count in counts]
    assert np.mean([low <= 0.3 <= high for low, high in intervals]) == pytest.approx(0.95, abs=0.02)


def test_coverage_of_the_paired_interval() -> None:
    random = np.random.default_rng(9)
    trials, count = 150, 60
    covered = 0
    for _ in range(trials):
        differences = random.choice([-1.0, 0.0, 1.0], count, p=[0.1, 0.65, 0.25])
        low, high = difference_interval(differences.tolist())
        covered += low <= 0.15 <= high
    assert covered / trials >= 0.93


def test_no_episode_means_no_knowledge() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert rate_interval([]) == (0.0, 1.0)
    assert rate_interval([(0, 0)]) == (0.0, 1.0)
    assert difference_interval([]) == (-1.0, 1.0)
    assert pass_at_k([], 1) is None


@pytest.mark.parametrize("tasks", [1, 2, 50])
def test_all_alike_is_not_certain(tasks: int) -> None:
    """However many attempts: more of them at the same tasks rule nothing out."""
    solved = rate_interval([(1, 1)] * tasks)
    assert solved == rate_interval([(4, 4)] * tasks)
    assert solved[0] < wilson_interval(tasks, tasks)[0]
    assert solved[1] == 1
    lost = rate_interval([(0, 4)] * tasks)
    assert lost == pytest.approx((0, 1 - solved[0]))
    low, high = difference_interval([0.0] * tasks)
    assert low == pytest.approx(-high)
    assert 0.9 / tasks < high < 2 / math.sqrt(tasks)
    low, high = difference_interval([1.0] * tasks)
    assert low < high == 1


def test_one_success_more_does_not_make_the_interval_much_shorter() -> None:
    none = rate_interval([(0, 3)] * 12)
    one = rate_interval([(0, 3)] * 11 + [(1, 3)])
    assert one[1] >= none[1]


def test_one_task_half_solved_says_little() -> None:
    low, high = rate_interval([(2, 4)])
    assert low < 0.25
    assert high > 0.75


@settings(max_examples=25)
@given(TASKS)
def test_an_interval_holds_the_rate_and_stays_within_its_bounds(
    tasks: list[tuple[int, int]],
) -> None:
    low, high = rate_interval(tasks)
    rate = sum(solved for solved, _ in tasks) / sum(played for _, played in tasks)
    assert 0 <= low <= rate + 1e-12
    assert rate - 1e-12 <= high <= 1
    assert rate_interval(tasks) == (low, high)
