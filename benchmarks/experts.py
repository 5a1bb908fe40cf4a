"""How often each environment's expert succeeds, as a Markdown table.

    python benchmarks/experts.py
    python benchmarks/experts.py --episodes 300 --env household

The expert plays the first tasks of every split with the environment's own step limit, through the
same loop as a collection. Environments that are not installed here, or have no expert, are named
on stderr. With 95 % Wilson intervals.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from agentkd_envs import EnvError, HasExpert, env_names, make_env

from agentkd.collect import Setting, collect
from agentkd.evaluate.summary import Result, summarise
from agentkd.policies import ExpertPolicy
from agentkd.prompts import action_format
from agentkd.store import EpisodeReader

WORLDS: dict[str, list[dict[str, Any]]] = {
    "household": [{"preset": "full"}, {"preset": "small"}],
    "scienceworld": [{"gold": True}],
}
"""Options to measure; other environments are measured as they come."""


def worlds(chosen: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in chosen or env_names():
        for options in WORLDS.get(name, [{}]):
            yield name, options


def measure(name: str, options: dict[str, Any], split: str, episodes: int) -> Result:
    env = make_env(name, **options)
    setting = Setting(lambda: make_env(name, **options), action_format("react"), env.spec.max_steps)
    tasks = env.tasks(split, episodes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "episodes.jsonl"
        anyio.run(partial(collect, ExpertPolicy(), tasks, path, setting))
        return summarise("expert", split, EpisodeReader(path).episodes())


def row(name: str, options: dict[str, Any], result: Result) -> str:
    described = ", ".join(f"{key} {value}" for key, value in options.items())
    cells = (
        f"{name} ({described})" if described else name,
        result.split,
        f"{result.episodes}",
        f"{result.success_rate:.1%}",
        f"{100 * result.ci_low:.1f}-{100 * result.ci_high:.1f} %",
        f"{result.mean_steps:.1f}",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--episodes", type=int, default=500, help="episodes per split")
    parser.add_argument("--env", action="append", default=[], help="environment; repeatable")
    options = parser.parse_args()
    sys.stdout.write("| environment | split | episodes | success | 95 % CI | mean steps |\n")
    sys.stdout.write("|---|---|---|---|---|---|\n")
    for name, world in worlds(options.env):
        try:
            env = make_env(name, **world)
        except EnvError as error:
            sys.stderr.write(f"{name}: {error}\n")
            continue
        if not isinstance(env, HasExpert):
            sys.stderr.write(f"{name}: no expert\n")
            continue
        for split in env.spec.splits:
            result = measure(name, world, split, options.episodes)
            sys.stdout.write(row(name, world, result) + "\n")
            sys.stdout.flush()
            if result.infrastructure_failures:
                sys.stderr.write(f"{name}: {result.infrastructure_failures} episodes broke off\n")


if __name__ == "__main__":
    main()
