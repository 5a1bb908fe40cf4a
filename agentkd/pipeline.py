"""The stages of a run, one function each: what the command line calls, and what a script can.

Each stage claims its settings in the run folder first, does only what is missing, and returns what
happened. Observers are called as the work goes on; nothing is printed here.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

import anyio
from agentkd_envs import Task, make_env

from agentkd.bank import bank_episodes, refuse_tasks
from agentkd.boosted_teacher import boosted_teacher, unsolved
from agentkd.collect import Drain, Setting, Tally, Troupe, collect
from agentkd.contestants import check_wrappers, contestant, teacher_section, wrapped
from agentkd.curate.curation import Curation
from agentkd.curate.instructions import student_setting
from agentkd.errors import ConfigError, did_you_mean
from agentkd.evaluate.contamination import check_contamination
from agentkd.evaluate.run import evaluate
from agentkd.evaluate.summary import Result
from agentkd.policies import ExpertPolicy, Policy, RandomPolicy
from agentkd.policies.mistakes import ErringExpertPolicy
from agentkd.prompts import action_format
from agentkd.prompts.instructions import instructions
from agentkd.protocols.examples import find_examples
from agentkd.protocols.resolve import AgentPlan, agent_plan, eval_tasks, some_tasks
from agentkd.recipe import Recipe
from agentkd.reflecting_teacher import reflecting_teacher
from agentkd.run_folder import RunFolder
from agentkd.teachers import local_policy, make_teacher
from agentkd.train.model_card import add_results
from agentkd.trajectory import Trajectory

if TYPE_CHECKING:
    from agentkd.train.monitor import Player

EpisodeObserver = Callable[[str, str, Tally, Trajectory | None], None]
"""Called with policy, split, counts so far, and the episode that has just ended."""


@dataclass(frozen=True)
class Engine:
    """Where episodes are played."""

    name: Literal["local", "ray"] = "local"
    """`local` is this process, `ray` a Ray cluster."""
    workers: int | None = None
    """Processes of the cluster; one for each of its processors if not set."""


HERE = Engine()


def setting_of(recipe: Recipe, plan: AgentPlan, *, seed: int, is_training: bool) -> Setting:
    """How episodes of a recipe are played; raises `UnknownNameError` for a name that is unknown."""
    env = make_env(recipe.env.name, **plan.options)
    style = action_format(plan.format)
    return Setting(
        make_env=lambda: make_env(recipe.env.name, **plan.options),
        format=style,
        max_steps=plan.max_steps or env.spec.max_steps,
        max_steps_by_kind=plan.max_steps_by_kind,
        max_tokens=recipe.agent.max_tokens,
        max_seconds=recipe.agent.max_seconds,
        narration=plan.narration,
        extra={"protocol": plan.record} if plan.record else {},
        system_prompt=instructions(recipe.agent.instructions, style, env.spec),
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


def collected_tasks(recipe: Recipe, setting: Setting) -> Sequence[Task]:
    """The tasks that the teacher is to play."""
    settings = recipe.collect
    tasks = some_tasks(
        setting.make_env(), settings.split, settings.episodes, settings.first, "collect.first"
    )
    return unsolved(recipe, tasks) if settings.policy.split("+")[0] == "boosted" else tasks


def prepare_collection(
    run: RunFolder,
    recipe: Recipe,
    on_episode: EpisodeObserver,
    drain: Drain | None = None,
    engine: Engine = HERE,
) -> Callable[[], Awaitable[Tally]]:
    """Claim the settings and return what lets the teacher play, to be run in an event loop."""
    settings = recipe.collect
    plan = agent_plan(recipe)
    setting = setting_of(recipe, plan, seed=settings.seed, is_training=True)
    tasks = collected_tasks(recipe, setting)
    setting = with_examples(setting, recipe, plan, tasks)
    policy: Policy | Troupe = make_collector(run, recipe)
    run.claim("collect", recipe)
    if engine.name == "ray":
        policy = _troupe(run, recipe, "collect", settings.policy, setting, engine)
    return partial(
        collect,
        policy,
        tasks,
        run.trajectories,
        setting,
        attempts=settings.attempts,
        concurrency=settings.concurrency,
        drain=drain,
        on_episode=lambda tally, trajectory: on_episode(
            settings.policy, settings.split, tally, trajectory
        ),
    )


def collect_stage(
    run: RunFolder, recipe: Recipe, on_episode: EpisodeObserver, engine: Engine = HERE
) -> Tally:
    """Let the teacher play; episodes that are in the store are not played again."""
    return anyio.run(prepare_collection(run, recipe, on_episode, engine=engine))


def curate_stage(
    run: RunFolder,
    recipe: Recipe,
    on_reading: Callable[[int, float], None] = lambda episodes, share: None,
) -> dict[str, int]:
    """Turn trajectories into training rows; return how many fell to each filter.

    `on_reading` is told now and then how many episodes were read, and which share that is.
    """
    with Curation(run, recipe, on_reading) as curation:
        run.claim("curate", recipe)
        return curation.write()


def monitor_of(run: RunFolder, recipe: Recipe) -> "Player | None":
    """What measures success during training, as `train.monitor_episodes` asks; None if it is 0."""
    count = recipe.train.monitor_episodes
    if not count:
        return None
    from agentkd.train.monitor import held_out_tasks, player

    settings, plan = recipe.collect, agent_plan(recipe)
    setting = setting_of(recipe, plan, seed=recipe.eval.seed, is_training=False)
    collected = setting.make_env().tasks(settings.split, settings.episodes, settings.first)
    tasks = held_out_tasks(run, list(collected), count)
    setting = with_examples(setting, recipe, plan, tasks)
    return player(run, setting, tasks, recipe.eval.max_new_tokens, recipe.eval.concurrency)


def eval_stage(
    run: RunFolder, recipe: Recipe, on_episode: EpisodeObserver, engine: Engine = HERE
) -> list[Result]:
    """Compare policies on held-out tasks; return one result per policy and split."""
    settings = recipe.eval
    plan = agent_plan(recipe)
    setting = setting_of(recipe, plan, seed=settings.seed, is_training=False)
    env = setting.make_env()
    tasks = eval_tasks(recipe, env)
    contestants: dict[str, Callable[[], Policy | Troupe]] = {
        name: contestant(name, run, recipe) for name in settings.policies
    }
    setting = with_examples(setting, recipe, plan, chain.from_iterable(tasks.values()))
    contaminated = check_contamination(run, recipe, tasks)
    _check_bank(run, recipe, chain.from_iterable(tasks.values()))
    run.claim("eval", recipe)
    if engine.name == "ray":
        contestants = {
            name: partial(_troupe, run, recipe, "eval", name, setting, engine)
            for name in settings.policies
        }
    about: dict[str, Any] = {
        "recipe": recipe.name,
        "env": recipe.env.name,
        "options": dict(plan.options),
        "protocol": dict(plan.record) or None,
        "episodes_per_split": {split: len(drawn) for split, drawn in tasks.items()},
        "attempts": settings.attempts,
        "seed": settings.seed,
        "contaminated_tasks": contaminated,
        "max_steps": setting.max_steps,
        "versions": dict(env.spec.versions),
    }
    results = evaluate(
        contestants,
        tasks,
        setting,
        run.eval_store,
        run.summary,
        about,
        attempts=settings.attempts,
        concurrency=settings.concurrency,
        on_episode=on_episode,
        own_settings={
            name: student_setting(setting, recipe)
            for name in settings.policies
            if name.split("+")[0] == "student"
        },
    )
    add_results(run, results)
    return results


def _check_bank(run: RunFolder, recipe: Recipe, tasks: Iterable[Task]) -> None:
    """Refuse, before anything is played, a bank that holds what is evaluated."""
    how = recipe.demonstrations
    if how.k and any("demos" in name.split("+")[1:] for name in recipe.eval.policies):
        refuse_tasks([one.task for one in bank_episodes(run, how.bank)], tasks)


def check_teacher(recipe: Recipe) -> None:
    """Raise `ConfigError` if `collect.policy` is not one of `TEACHERS`, or does not fit."""
    name, *wrappers = recipe.collect.policy.split("+")
    if name not in TEACHERS:
        raise ConfigError(
            f"unknown teacher '{name}'. There is: {', '.join(TEACHERS)}."
            f"{did_you_mean(name, TEACHERS)}"
        )
    check_wrappers(recipe.collect.policy, wrappers)
    if name != "expert" and recipe.collect.mistakes:
        raise ConfigError(f"collect.mistakes is for the expert; set it to 0 for '{name}'")


def _troupe(
    run: RunFolder,
    recipe: Recipe,
    stage: Literal["collect", "eval"],
    policy: str,
    setting: Setting,
    engine: Engine,
) -> Troupe:
    from agentkd.cluster.troupe import RayTroupe

    return RayTroupe(run, recipe, stage, policy, setting, engine.workers)


def make_collector(run: RunFolder, recipe: Recipe) -> Policy:
    """The policy of `collect.policy`; raises `ConfigError` if there is none or it does not fit."""
    check_teacher(recipe)
    name, *wrappers = recipe.collect.policy.split("+")
    return wrapped(TEACHERS[name](run, recipe), wrappers, recipe, run)


def _expert(run: RunFolder, recipe: Recipe) -> Policy:
    mistakes = recipe.collect.mistakes
    return ErringExpertPolicy(mistakes) if mistakes else ExpertPolicy()


def _random(run: RunFolder, recipe: Recipe) -> Policy:
    return RandomPolicy()


def _chat_model(run: RunFolder, recipe: Recipe) -> Policy:
    return make_teacher(teacher_section(recipe), run.ledger, recipe.collect.concurrency)


def _student(run: RunFolder, recipe: Recipe) -> Policy:
    """The student before this training, sampled: what rejection sampling and ETO explore with."""
    return local_policy(
        recipe.train.student,
        "student",
        "student",
        recipe.eval.max_new_tokens,
        recipe.collect.temperature,
    )


TEACHERS: Mapping[str, Callable[[RunFolder, Recipe], Policy]] = {
    "expert": _expert,
    "random": _random,
    "teacher": _chat_model,
    "reflecting": reflecting_teacher,
    "boosted": boosted_teacher,
    "student": _student,
}
"""What `collect.policy` may be."""
