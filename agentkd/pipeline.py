"""The stages of a run, one function each: what the command line calls, and what a script can.

Each stage claims its settings in the run folder first, does only what is missing, and returns what
happened. Observers are called as the work goes on; nothing is printed here.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import anyio
from agentkd_envs import Task, make_env

from agentkd.collect import Setting, Tally, collect
from agentkd.curate.rows import write_rows
from agentkd.curate.select import selection
from agentkd.errors import ConfigError, did_you_mean
from agentkd.evaluate.run import evaluate
from agentkd.evaluate.summary import Result
from agentkd.policies import ExpertPolicy, Policy, RandomPolicy
from agentkd.policies.mistakes import ErringExpertPolicy
from agentkd.prompts import action_format
from agentkd.protocols.examples import find_examples
from agentkd.protocols.resolve import AgentPlan, agent_plan, eval_splits
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


def setting_of(recipe: Recipe, plan: AgentPlan, *, seed: int, is_training: bool) -> Setting:
    """How episodes of a recipe are played; raises `UnknownNameError` for a name that is unknown."""
    env = make_env(recipe.env.name, **plan.options)
    style = action_format(plan.format)
    return Setting(
        make_env=lambda: make_env(recipe.env.name, **plan.options),
        format=style,
        max_steps=plan.max_steps or env.spec.max_steps,
        max_steps_by_kind=plan.max_steps_by_kind,
        narration=plan.narration,
        extra={"protocol": plan.record} if plan.record else {},
        system_prompt=style.system_prompt(env.spec)
        if recipe.agent.instructions == "full"
        else None,
        seed=seed,
        is_training=is_training,
    )


def with_examples(
    setting: Setting, recipe: Recipe, plan: AgentPlan, tasks: Iterable[Task]
) -> Setting:
    """Add the examples that the tasks need; raises `ConfigError` if there are none to be had."""
    if not plan.shots:
        return setting
    kinds = [task.kind for task in tasks] if plan.examples_of_own_kind else None

    async def find() -> Setting:
        env = make_env(recipe.env.name, **plan.example_options)
        try:
            examples = await find_examples(
                env, setting.format, setting.narration, shots=plan.shots, kinds=kinds
            )
        finally:
            await env.close()
        return replace(setting, examples=examples)

    return anyio.run(find)


def collect_stage(run: RunFolder, recipe: Recipe, on_episode: EpisodeObserver) -> Tally:
    """Let the teacher play; episodes that are in the store are not played again."""
    settings = recipe.collect
    plan = agent_plan(recipe)
    setting = setting_of(recipe, plan, seed=settings.seed, is_training=True)
    tasks = setting.make_env().tasks(settings.split, settings.episodes, settings.first)
    policy = _teacher(settings.policy, settings.mistakes)
    setting = with_examples(setting, recipe, plan, tasks)
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
    source = run.recorded().get("import")
    about = {"Recipe": recipe.name} | (
        {"Imported from": ", ".join(source["files"]), "Format": source["format"]}
        if source
        else {
            "Environment": f"{recipe.env.name} {dict(agent_plan(recipe).options) or ''}".strip(),
            "Protocol": recipe.agent.protocol or "none",
            "Teacher": recipe.collect.policy,
            "Split": recipe.collect.split,
        }
    )
    reader = EpisodeReader(run.trajectories)
    counts = write_rows(
        reader.episodes(), selection(recipe.curate), run.rows, recipe.curate.validation, about
    )
    return {**counts, "damaged lines skipped": len(reader.damaged)}


def eval_stage(run: RunFolder, recipe: Recipe, on_episode: EpisodeObserver) -> list[Result]:
    """Compare policies on held-out tasks; return one result per policy and split."""
    settings = recipe.eval
    plan = agent_plan(recipe)
    setting = setting_of(recipe, plan, seed=settings.seed, is_training=False)
    env = setting.make_env()
    tasks = {
        split: env.tasks(split, count, settings.first)
        for split, count in eval_splits(recipe, env.spec).items()
    }
    contestants = {name: _contestant(name, run, recipe) for name in settings.policies}
    setting = with_examples(setting, recipe, plan, chain.from_iterable(tasks.values()))
    run.claim("eval", recipe)
    about: dict[str, Any] = {
        "recipe": recipe.name,
        "env": recipe.env.name,
        "options": dict(plan.options),
        "protocol": dict(plan.record) or None,
        "episodes_per_split": {split: len(drawn) for split, drawn in tasks.items()},
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
