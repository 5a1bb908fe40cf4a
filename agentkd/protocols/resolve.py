"""From a recipe to how its agents are run: the protocol's values under those that are set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentkd_envs import Env, EnvSpec, Task

from agentkd.errors import ConfigError
from agentkd.prompts.narration import Narration
from agentkd.protocols.preset import Protocol, protocol
from agentkd.recipe import Recipe

DEFAULT_FORMAT = "react"
DEFAULT_SPLITS = ("seen", "unseen")
DEFAULT_EPISODES = 200
_AGENT_KEYS = ("format", "shots", "admissible", "history", "max_steps")


@dataclass(frozen=True)
class AgentPlan:
    """How the agents of a recipe are run."""

    format: str
    shots: int
    examples_of_own_kind: bool
    narration: Narration
    max_steps: int | None
    max_steps_by_kind: Mapping[str, int]
    options: Mapping[str, Any]
    """Options of the environment."""
    example_options: Mapping[str, Any]
    """Options of the environment in which the expert plays the examples."""
    record: Mapping[str, Any]
    """The protocol with the values that hold, and what was changed in it; empty without one."""


def agent_plan(recipe: Recipe) -> AgentPlan:
    """Resolve a recipe's `agent` and `env.options`.

    Raises `ConfigError` if the protocol does not exist or says nothing about the environment.
    """
    chosen = _chosen(recipe)
    given = {key: getattr(recipe.agent, key) for key in _AGENT_KEYS}
    own = {key: value for key, value in given.items() if value is not None}
    if "max_steps" in own:
        own["max_steps_by_kind"] = {}
    options = {**chosen.options, **recipe.env.options}
    held = chosen.model_copy(update={**own, "options": options})
    return AgentPlan(
        format=held.format,
        shots=held.shots,
        examples_of_own_kind=held.examples == "same_kind",
        narration=held.narration,
        max_steps=held.max_steps,
        max_steps_by_kind=held.max_steps_by_kind,
        options=options,
        example_options={**options, **chosen.example_options},
        record={**held.record(), "changed": _changes(chosen, held)} if chosen.name else {},
    )


def eval_splits(recipe: Recipe, spec: EnvSpec) -> dict[str, int]:
    """Return the splits to evaluate on, and the number of tasks in each."""
    published = _chosen(recipe).splits_among(spec.splits)
    return {
        split: recipe.eval.episodes or published.get(split, DEFAULT_EPISODES)
        for split in recipe.eval.splits or published or DEFAULT_SPLITS
    }


def eval_tasks(recipe: Recipe, env: Env) -> dict[str, Sequence[Task]]:
    """Return the tasks that the evaluation of a recipe plays, by split.

    Raises `ConfigError` if `eval.first` lies behind the last task of one.
    """
    return {
        split: some_tasks(env, split, count, recipe.eval.first, "eval.first")
        for split, count in eval_splits(recipe, env.spec).items()
    }


def some_tasks(env: Env, split: str, count: int | None, first: int, setting: str) -> Sequence[Task]:
    """Return `count` tasks of a split, fewer if it ends before.

    Raises `ConfigError` if there is none; `setting` is what said where to begin.
    """
    tasks = env.tasks(split, count, first)
    if not tasks and count != 0:
        size = len(env.tasks(split))
        raise ConfigError(
            f"split '{split}' of {env.spec.name} has {size:,} tasks, none from number {first:,} "
            f"on; lower {setting}"
        )
    return tasks


def _chosen(recipe: Recipe) -> Protocol:
    env = recipe.env.name
    if recipe.agent.protocol:
        return protocol(recipe.agent.protocol, env)
    return Protocol(
        name="",
        env=env,
        source="",
        facts=[],
        our_reading=[],
        format=DEFAULT_FORMAT,
        splits={},
        metric="success_rate",
    )


def _changes(published: Protocol, held: Protocol) -> list[str]:
    """Names of the values that are not the protocol's."""
    before, after = published.record(), held.record()
    changed = [key for key in before if key != "options" and before[key] != after[key]]
    options = published.options
    return changed + [
        f"options.{key}" for key, value in options.items() if held.options[key] != value
    ]
