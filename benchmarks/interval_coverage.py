"""How often the 95 % intervals of an evaluation hold the truth, in simulated evaluations.

    python benchmarks/interval_coverage.py

Prints one line per setting: the share of 1,000 simulations in which the reported interval, the
bootstrap alone and an interval for independent attempts held the true value.
"""

import numpy as np

from agentkd.evaluate.bootstrap import (
    cluster_bootstrap,
    difference_interval,
    paired_bootstrap,
    rate_interval,
)
from agentkd.evaluate.statistics import wilson_interval

SIMULATIONS = 1_000
ATTEMPTS = 4

DIFFICULTIES = ((0.5, 0.7, 60), (0.5, 0.7, 20), (0.3, 6.0, 30), (5.0, 1.0, 20))
"""Beta distribution of the tasks' success rates, and number of tasks."""
CHANGES = (((0.1, 0.25), 60), ((0.1, 0.25), 20), ((0.01, 0.09), 60), ((0.0, 0.05), 40))
"""Chances that a task is lost and gained, and number of tasks."""


def main() -> None:
    random = np.random.default_rng(3)
    print(f"rates, {ATTEMPTS} attempts a task        reported  bootstrap  independent")
    for easy, hard, count in DIFFICULTIES:
        truth = easy / (easy + hard)
        held = np.zeros(3)
        for solved in random.binomial(ATTEMPTS, random.beta(easy, hard, (SIMULATIONS, count))):
            tasks = [(int(one), ATTEMPTS) for one in solved]
            intervals = (
                rate_interval(tasks),
                cluster_bootstrap(tasks),
                wilson_interval(int(solved.sum()), count * ATTEMPTS),
            )
            held += [low <= truth <= high for low, high in intervals]
        shares = "  ".join(f"{share:9.1%}" for share in held / SIMULATIONS)
        print(f"{count:3} tasks, beta({easy}, {hard}), mean {truth:.2f}  {shares}")
    print("differences, one attempt a task      reported  bootstrap")
    for (lost, gained), count in CHANGES:
        held = np.zeros(2)
        for _ in range(SIMULATIONS):
            drawn = random.choice([-1.0, 0.0, 1.0], count, p=[lost, 1 - lost - gained, gained])
            intervals = (difference_interval(drawn.tolist()), paired_bootstrap(drawn.tolist()))
            held += [low <= gained - lost <= high for low, high in intervals]
        shares = "  ".join(f"{share:9.1%}" for share in held / SIMULATIONS)
        print(f"{count:3} tasks, lost {lost:.2f}, gained {gained:.2f}   {shares}")


if __name__ == "__main__":
    main()
