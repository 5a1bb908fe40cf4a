"""The stages of a run, one function each: what the command line calls, and what a script can.

Each stage claims its settings in the run folder first, does only what is missing, and returns what
happened. Observers are called as the work goes on; nothing is printed here.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio
from agentkd_envs import make_env

from agentkd.collect import Setting, Tally, collect
from agentkd.curate.rows import write_rows
from agentkd.curate.select import selection
from agentkd.errors import ConfigError, did_you_mean
from agentkd.evaluate.contamination import check_contamination
from agentkd.evaluate.run import evaluate
from agentkd.evaluate.summary import Result
from agentkd.policies import ExpertPolicy, Policy, RandomPolicy
from agentkd.policies.mistakes import ErringExpertPolicy
from agentkd.prompts import action_format
from agentkd.recipe import Recipe
from agentkd.run_folder import RunFolder
from agentkd.store import EpisodeReader
from agentkd.trajectory import Trajectory

if TYPE_CHECKING:
    from agentkd.policies.student import StudentPolicy

TEACHERS = ("expert", "random")
CONTESTANTS = ("random", "expert", "untrained", "student")

EpisodeObserver = Callable[[str, str, Tally, Trajectory | None], None]
"""Called with policy, split, counts so far, and the episode that has just ended."""


def setting_of(recipe: Recipe, *, seed: int, is_training: bool) -> Setting:
    """How episodes of a recipe are played; raises `UnknownNameError` for a name that is unknown."""
    env = make_env(recipe.env.name, **recipe.env.options)
    style = action_format(recipe.agent.format)
    return Setting(
        make_env=lambda: make_env(recipe.env.name, **recipe.env.options),
        format=style,
        max_steps=recipe.agent.max_steps or env.spec.max_steps,
        system_prompt=style.system_prompt(env.spec)
        if recipe.agent.instructions == "full"
        else None,
        seed=seed,
        is_training=is_training,
    )


def collect_stage(run: RunFolder, recipe: Recipe, on_episode: EpisodeObserver) -> Tally:
    """Let the teacher play; episodes that are in the store are not played again."""
    settings = recipe.collect
    setting = setting_of(recipe, seed=settings.seed, is_training=True)
    tasks = setting.make_env().tasks(settings.split, settings.episodes, settings.first)
    policy = _teacher(settings.policy, settings.mistakes)
    run.claim("collect", recipe)
    return anyio.run(
        lambda: collect(
            policy,
            tasks,
            run.trajectories,
            setting,
            attempts=settings.attempts,
            concurrency=settings.concurrency,
            on_episode=lambda tally, trajectory: on_episode(
                settings.policy, settings.split, tally, trajectory
            ),
        )
    )


def curate_stage(run: RunFolder, recipe: Recipe) -> dict[str, int]:
    """Turn trajectories into training rows; return how many fell to each filter."""
    run.require(run.trajectories, "collect")
    run.claim("curate", recipe)
    about = {
        "Recipe": recipe.name,
        "Environment": f"{recipe.env.name} {recipe.env.options or ''}".strip(),
        "Teacher": recipe.collect.policy,
        "Split": recipe.collect.split,
    }
    reader = EpisodeReader(run.trajectories)
    counts = write_rows(
        reader.episodes(), selection(recipe.curate), run.rows, recipe.curate.validation, about
    )
    return {**counts, "damaged lines skipped": len(reader.damaged)}


def eval_stage(run: RunFolder, recipe: Recipe, on_episode: EpisodeObserver) -> list[Result]:
    """Compare policies on held-out tasks; return one result per policy and split."""
    settings = recipe.eval
    setting = setting_of(recipe, seed=settings.seed, is_training=False)
    env = setting.make_env()
    tasks = {
        split: env.tasks(split, settings.episodes, settings.first) for split in settings.splits
    }
    contestants = {name: _contestant(name, run, recipe) for name in settings.policies}
    contaminated = check_contamination(run, recipe, tasks)
    run.claim("eval", recipe)
    about: dict[str, Any] = {
        "recipe": recipe.name,
        "env": recipe.env.name,
        "options": recipe.env.options,
        "episodes_per_split": settings.episodes,
        "attempts": settings.attempts,
        "seed": settings.seed,
        "contaminated_tasks": contaminated,
        "max_steps": setting.max_steps,
        "versions": dict(env.spec.versions),
    }
    return evaluate(
        contestants,
        tasks,
        setting,
        run.eval_store,
        run.summary,
        about,
        attempts=settings.attempts,
        concurrency=settings.concurrency,
        on_episode=on_episode,
    )


def _teacher(name: str, mistakes: float) -> Policy:
    if name not in TEACHERS:
        raise ConfigError(
            f"unknown teacher '{name}'. There is: {', '.join(TEACHERS)}."
            f"{did_you_mean(name, TEACHERS)}"
        )
    if name == "random" and mistakes:
        raise ConfigError("collect.mistakes is for the expert; set it to 0 for a random teacher")
    if name == "random":
        return RandomPolicy()
    return ErringExpertPolicy(mistakes) if mistakes else ExpertPolicy()


def _contestant(name: str, run: RunFolder, recipe: Recipe) -> Callable[[], Policy]:
    if name == "random":
        return RandomPolicy
    if name == "expert":
        return ExpertPolicy
    if name == "untrained":
        return lambda: _local(recipe.train.student, "untrained", recipe)
    if name == "student":
        run.require(run.student / "training.json", "train")
        return lambda: _local(str(run.student), "student", recipe)
    raise ConfigError(
        f"unknown policy '{name}'. There is: {', '.join(CONTESTANTS)}."
        f"{did_you_mean(name, CONTESTANTS)}"
    )


def _local(source: str, name: str, recipe: Recipe) -> "StudentPolicy":
    from agentkd.policies.student import StudentPolicy
    from agentkd.students.decoder import Sampling
    from agentkd.students.load import device_of_this_machine, load_student

    student = load_student(source)
    device = device_of_this_machine()
    return StudentPolicy(
        student.model.to(device),  # type: ignore[arg-type]
        student.tokenizer,
        name=name,
        author="base" if name == "untrained" else "student",
        sampling=Sampling(recipe.eval.max_new_tokens, recipe.eval.temperature),
        max_context=student.context,
    )
