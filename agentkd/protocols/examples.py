"""Solved examples for prompts: the environment's own expert plays tasks of the train split.

The shortest of the first few episodes that it solves are taken, so that the same tasks give the
same examples on any machine. A task is never its own example.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from agentkd_envs import Env, EnvError, HasExpert, Task

from agentkd.episode import run_episode
from agentkd.errors import ConfigError
from agentkd.policies import ExpertPolicy
from agentkd.prompts import ActionFormat
from agentkd.prompts.narration import Narration
from agentkd.trajectory import Trajectory

CANDIDATES = 6
"""Tasks of a kind that the expert plays to choose examples from."""
TASKS_LOOKED_THROUGH = 300
"""Tasks of the train split that are looked through for those of a kind."""
ANY_KIND = ""


@dataclass(frozen=True)
class Example:
    """One solved task, as text."""

    task_id: str
    text: str


@dataclass(frozen=True)
class Examples:
    """What a system message shows."""

    shots: int = 0
    by_kind: Mapping[str, Sequence[Example]] = field(default_factory=dict)
    """Candidates per task kind, or under `ANY_KIND` for all."""

    def text_for(self, task: Task) -> str:
        """Return the examples for a task, empty if there are none."""
        candidates = self.by_kind.get(task.kind, self.by_kind.get(ANY_KIND, ()))
        texts = [example.text for example in candidates if example.task_id != task.id]
        chosen = texts[: self.shots]
        if not chosen:
            return ""
        heading = "An example of another task:" if len(chosen) == 1 else "Examples of other tasks:"
        return "\n\n".join([heading, *chosen])


async def find_examples(
    env: Env,
    action_format: ActionFormat,
    narration: Narration,
    *,
    shots: int,
    kinds: Sequence[str] | None,
) -> Examples:
    """Let the expert of `env` solve tasks, and write `shots` of them down.

    `kinds` asks for examples of each of these kinds; None for the same ones for all tasks. Raises
    `ConfigError` if the environment has no expert, or the expert solves too few.
    """
    if not isinstance(env, HasExpert):
        raise ConfigError(
            f"examples are played by an expert, and '{env.spec.name}' has none; "
            "go without them: --agent.shots 0"
        )
    how = replace(narration, admissible=False, history=None)
    by_kind: dict[str, list[Example]] = {}
    for kind in [ANY_KIND] if kinds is None else sorted(set(kinds)):
        tasks = [task for task in _train_tasks(env) if kind in (ANY_KIND, task.kind)]
        solved, broken = [], ""
        for task in islice(tasks, max(CANDIDATES, shots + 1)):
            episode = await run_episode(
                ExpertPolicy(),
                env,
                task,
                action_format,
                max_steps=env.spec.max_steps,
                narration=how,
            )
            if episode.outcome.success:
                solved.append(episode)
            broken = broken or (episode.outcome.error or "")
        if len(solved) <= shots:
            what = f"tasks of kind '{kind}'" if kind else "tasks"
            raise ConfigError(
                f"the expert of '{env.spec.name}' solved {len(solved)} {what} of the train split, "
                f"too few for {shots} examples{': ' if broken else ''}{broken}; "
                "ask for fewer: --agent.shots 0"
            )
        solved.sort(key=lambda episode: len(episode.steps))
        by_kind[kind] = [Example(e.task.id, transcript(e)) for e in solved[: shots + 1]]
    return Examples(shots, by_kind)


def transcript(episode: Trajectory) -> str:
    """Write an episode down as its messages, one after the other."""
    return "\n\n".join(
        message.content for message in episode.messages() if message.role != "system"
    )


def _train_tasks(env: Env) -> Sequence[Task]:
    try:
        return env.tasks("train", TASKS_LOOKED_THROUGH)
    except EnvError as error:
        raise ConfigError(f"no task to make examples from: {error}") from error
