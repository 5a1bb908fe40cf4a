"""`agentkd play`: a person plays a task in the terminal, or a script does through a pipe."""

import sys
from collections.abc import Sequence

import anyio
from agentkd_envs import Env, EnvError, Expert, HasExpert, Move, StepResult, Task, make_env
from rich.console import Console

from agentkd.cli.envs import OptionsOption, parse_options

console = Console(soft_wrap=True)

_HELP = "an action, ? for the expert's hint, 'actions', 'history', 'quit'"


def play(env: str, *, split: str = "train", task: int = 0, options: OptionsOption = None) -> None:
    """Play a task yourself: see what the agent sees, with hints of the expert.

    Parameters
    ----------
    env
        Environment.
    split
        Split that the task comes from.
    task
        Index of the task within the split.
    options
        Option of the environment, OPTION=VALUE; repeatable.
    """
    world = make_env(env, **parse_options(options))
    tasks = world.tasks(split, 1, task)
    if not tasks:
        raise EnvError(f"split '{split}' of {env} has no task {task}")
    anyio.run(_play, world, tasks[0])
    again = " ".join(f"--set {pair}" for pair in options or ())
    command = f"agentkd play {env} --split {split} --task {task + 1} {again}".rstrip()
    console.print(f"next: [bold]{command}[/bold]", highlight=False)


class _Hints:
    """The expert, who follows along from the start."""

    def __init__(self, env: Env, observation: str) -> None:
        self._expert: Expert | None = None
        self._why_not = "this environment has no expert"
        self._move: Move | None = None
        if isinstance(env, HasExpert):
            try:
                self._expert = env.expert()
                self._move = self._expert.first(observation)
            except EnvError as error:
                self._expert, self._why_not = None, str(error)

    def follow(self, action: str, answer: StepResult) -> None:
        """Tell the expert what was done."""
        if self._expert is None or answer.terminated:
            return
        if self._move is None or action != self._move.action:
            self._expert.note_action(action)
        self._move = self._expert.next(answer.text)

    def __str__(self) -> str:
        if self._move is None:
            return f"no hint: {self._why_not}"
        return f"{self._move.action}   ({self._move.thought})"


async def _play(env: Env, task: Task) -> None:
    if sys.stdin.isatty():
        import readline  # noqa: F401  (the arrow keys go through the actions so far)

    console.print(f"{env.spec.name}, {task.split} {task.seed}, {task.kind}", style="bold")
    console.print(f"Type {_HELP}.", style="dim", highlight=False)
    first = await env.reset(task)
    _show(first.text, first.admissible())
    hints = _Hints(env, first.text)
    possible = first.admissible
    done: list[str] = []
    answer: StepResult | None = None
    try:
        while len(done) < env.spec.max_steps and not (answer and answer.terminated):
            typed = _ask(len(done) + 1, env.spec.max_steps)
            match typed:
                case None | "quit":
                    break
                case "":
                    continue
                case "?" | "hint":
                    console.print(f"hint: {hints}", highlight=False, markup=False)
                    continue
                case "actions":
                    _show("", possible())
                    continue
                case "history":
                    _show("\n".join(f"{i}. {line}" for i, line in enumerate(done, 1)), ())
                    continue
            answer = await env.step(typed)
            done.append(typed)
            possible = answer.admissible
            hints.follow(typed, answer)
            _show(answer.text, () if answer.terminated else possible())
    finally:
        await env.close()
    _conclude(answer, len(done), env.spec.max_steps)


def _ask(step: int, limit: int) -> str | None:
    try:
        typed = input(f"[{step}/{limit}] > ").strip()
    except EOFError:
        typed = None
    if typed is None or not sys.stdin.isatty():
        console.print(typed or "", highlight=False, markup=False)
    return typed


def _show(text: str, actions: Sequence[str]) -> None:
    if text:
        console.print(f"\n{text}", highlight=False, markup=False)
    if actions:
        console.print(f"\n  {'  |  '.join(actions)}\n", style="dim", highlight=False, markup=False)


def _conclude(answer: StepResult | None, steps: int, limit: int) -> None:
    reward = answer.reward if answer else 0.0
    if answer and answer.terminated:
        end = "Solved" if answer.success else "Over, and not solved"
    else:
        end = "The step limit is reached" if steps >= limit else "Stopped"
    word = "step" if steps == 1 else "steps"
    console.print(f"\n{end} after {steps} {word}; reward {reward:g}.", style="bold")
