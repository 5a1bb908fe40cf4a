"""Environments for Gymnasium: text in, text out, five-tuples.

    env = GymnasiumEnv("household", split="train", preset="small")
    env = gymnasium.make("agentkd_envs.adapters.gym:agentkd/household-v0")     # the same
    text, info = env.reset(seed=7)                   # the seed draws the task
    text, info = env.reset(options={"index": 12})    # or: task 12 of the split
    text, reward, terminated, truncated, info = env.step(info["admissible"][0])

`truncated` is true at the step limit. Needs `agentkd[gymnasium]`.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from agentkd_envs.adapters.synchronous import Synchronous
from agentkd_envs.base import Observation, StepResult, Task
from agentkd_envs.errors import EnvError
from agentkd_envs.registry import env_names, make_env

try:
    import gymnasium
    from gymnasium.spaces import Text
except ImportError as error:
    raise EnvError("Gymnasium is not installed: pip install 'agentkd[gymnasium]'") from error

LONGEST_TEXT = 100_000
ENDLESS_SPLIT = 1_000_000
"""Tasks to draw from in a split without an end."""


class AnyText(Text):
    """A text space that contains every text up to a length; samples are of Gymnasium's letters."""

    def contains(self, x: object) -> bool:
        """Return whether `x` is a text that is not too long."""
        return isinstance(x, str) and len(x) <= self.max_length

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AnyText) and other.max_length == self.max_length

    __hash__ = Text.__hash__


class GymnasiumEnv(gymnasium.Env[str, str]):
    """One environment by name, with its options as keyword arguments."""

    metadata = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012

    def __init__(
        self,
        name: str,
        /,
        *,
        split: str = "train",
        max_steps: int | None = None,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        """Take the tasks of `split`; raises `EnvError` for a name or option that is unknown."""
        self._env = make_env(name, **options)
        self._live = Synchronous(self._env)
        self._split, self.render_mode = split, render_mode
        self.max_steps = max_steps or self._env.spec.max_steps
        self.env_spec = self._env.spec
        self.observation_space = AnyText(LONGEST_TEXT, min_length=0)
        self.action_space = AnyText(200, min_length=0)
        self._task = self._env.tasks(split, 1)[0]
        self._steps, self._shown = 0, ""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Begin a task: `options["index"]` of the split, else one that the seed draws."""
        super().reset(seed=seed)
        wanted = (options or {}).get("index")
        index = int(self.np_random.integers(self._size())) if wanted is None else int(wanted)
        found = self._env.tasks(self._split, 1, index)
        if not found:
            raise EnvError(f"split '{self._split}' of {self.env_spec.name} has no task {index}")
        self._task, self._steps = found[0], 0
        first = self._live.reset(self._task)
        self._shown = first.text
        return first.text, _info(self._task, first)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Execute one command."""
        answer = self._live.step(action)
        self._steps += 1
        self._shown = answer.text
        truncated = self._steps >= self.max_steps and not answer.terminated
        info = _info(self._task, answer)
        return answer.text, answer.reward, answer.terminated, truncated, info

    def render(self) -> str:
        """Return what the agent read last."""
        return self._shown

    def close(self) -> None:
        """Release the episode; calling it twice is fine."""
        self._live.close()

    def _size(self) -> int:
        try:
            return len(self._env.tasks(self._split))
        except EnvError:
            return ENDLESS_SPLIT


def _info(task: Task, answer: Observation | StepResult) -> dict[str, Any]:
    info: dict[str, Any] = {"task_id": task.id, "kind": task.kind}
    info["admissible"] = list(answer.admissible())
    if isinstance(answer, StepResult):
        extra: Mapping[str, Any] = answer.info
        info |= {"success": answer.success, "valid": answer.valid, **extra}
    return info


for _name in env_names():
    gymnasium.register(f"agentkd/{_name}-v0", partial(GymnasiumEnv, _name))
