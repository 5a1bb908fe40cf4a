"""Environments for TRL: a class for `GRPOTrainer(environment_factory=...)`, verbs as tools.

    Household = trl_environment("household", preset="small")
    rows = Dataset.from_list(trl_rows("household", count=500, preset="small"))
    trainer = GRPOTrainer(..., train_dataset=rows, environment_factory=Household)

TRL makes one instance per rollout, calls `reset(**row)` with the row's columns, offers every public
method as a tool, and asks `get_reward()` when the rollout is over. A row says which task to play by
its `index` in `split`, so that all rollouts of a group play the same task. A tool that is called
after the end raises, which TRL shows to the model as an error.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from agentkd_envs.adapters.synchronous import Synchronous
from agentkd_envs.adapters.verbs import Verb, verbs_of
from agentkd_envs.base import Observation, StepResult
from agentkd_envs.errors import EnvError
from agentkd_envs.registry import make_env


class EpisodeOverError(EnvError):
    """A tool was called when there was nothing left to do."""


class _Rollout:
    """The live episode behind a class that `trl_environment` makes; not a tool itself."""

    def __init__(self, name: str, options: Mapping[str, Any], max_steps: int | None) -> None:
        env = make_env(name, **options)
        self.env, self._live = env, Synchronous(env)
        self._max_steps = max_steps or env.spec.max_steps
        self._steps = 0
        self._last: Observation | StepResult | None = None

    def begin(self, split: str, index: int) -> str:
        tasks = self.env.tasks(split, 1, index)
        if not tasks:
            raise EnvError(f"split '{split}' of {self.env.spec.name} has no task {index}")
        self._steps = 0
        self._last = self._live.reset(tasks[0])
        return self._last.text

    def act(self, verb: Verb, given: Mapping[str, str]) -> str:
        last = self._last
        if last is None:
            raise EpisodeOverError("No task has begun.")
        if self._steps >= self._max_steps or (isinstance(last, StepResult) and last.terminated):
            raise EpisodeOverError("The task is over. Stop calling tools.")
        self._steps += 1
        self._last = self._live.step(verb.command(given, last.admissible))
        return self._last.text

    @property
    def reward(self) -> float:
        return self._last.reward if isinstance(self._last, StepResult) else 0.0


def trl_environment(
    name: str,
    /,
    *,
    verbs: Sequence[Verb] | None = None,
    max_steps: int | None = None,
    **options: Any,
) -> type:
    """Make the class for `environment_factory`.

    `verbs` are the tools, those of the environment by default; `max_steps` is its step limit by
    default; `options` are the environment's. Raises `EnvError` for a name or option that is
    unknown.
    """
    spec = make_env(name, **options).spec

    def __init__(self: Any) -> None:
        self._rollout = _Rollout(name, options, max_steps)

    def reset(self: Any, *, index: int, split: str = "train", **row: Any) -> str:
        return "\n\n" + str(self._rollout.begin(split, int(index)))

    def get_reward(self: Any) -> float:
        return float(self._rollout.reward)

    def act(self: Any, verb: Verb, given: Mapping[str, str]) -> str:
        return str(self._rollout.act(verb, given))

    tools = {verb.name: verb.method(act) for verb in verbs or verbs_of(spec.name)}
    members = {"__init__": __init__, "reset": reset, "get_reward": get_reward, **tools}
    return type(f"{spec.name.capitalize()}Environment", (), members)


def trl_rows(
    name: str, /, *, split: str = "train", count: int, first: int = 0, **options: Any
) -> list[dict[str, Any]]:
    """Rows of a training set: a prompt with the instructions, and the task's place in its split."""
    env = make_env(name, **options)
    prompt = [{"role": "user", "content": env.spec.description.strip()}]
    return [
        {"prompt": prompt, "split": split, "index": first + number, "task_id": task.id}
        for number, task in enumerate(env.tasks(split, count, first))
    ]
