"""Makes the policy of `collect.policy: reflecting` from a recipe."""

from pathlib import Path

import anyio
from agentkd_envs import EnvError, HasExpert, make_env

from agentkd.contestants import teacher_section
from agentkd.errors import ConfigError
from agentkd.policies import Policy
from agentkd.policies.critics import Critic, ScriptedCritic, TeacherCritic
from agentkd.policies.reflecting import ReflectingPolicy, ReflectionLimits
from agentkd.policies.solutions import solutions
from agentkd.protocols.resolve import agent_plan, some_tasks
from agentkd.recipe import Recipe
from agentkd.recipe.reflect import ReflectSection
from agentkd.run_folder import RunFolder
from agentkd.teachers import local_policy, make_teacher


def reflecting_teacher(run: RunFolder, recipe: Recipe) -> Policy:
    """The base agent and the critic of the recipe.

    Raises `ConfigError` if the recipe does not say who acts, or if the environment can neither fork
    nor bring what the critic needs; that is found out before anything is loaded or spent.
    """
    section = recipe.reflect
    if section is None:
        raise ConfigError(
            "the recipe has no section 'reflect'; name at least the base agent: "
            "--reflect.student runs/NAME"
        )
    anyio.run(_check_environment, recipe, section)
    critic = _critic(run, recipe, section)
    base = local_policy(
        student_source(section.student), "base", "base", section.max_new_tokens, section.temperature
    )
    limits = ReflectionLimits(section.max_reflections, section.retries)
    return ReflectingPolicy(base, critic, mode=section.mode, limits=limits)


def student_source(name: str) -> str:
    """The model behind `reflect.student`: that of a run, or what the name itself says.

    Raises `MissingStageError` for a run folder that has no trained student.
    """
    run = RunFolder(Path(name))
    if not run.config.is_file():
        return name
    run.require(run.student / "training.json", "train")
    return str(run.student)


def _critic(run: RunFolder, recipe: Recipe, section: ReflectSection) -> Critic:
    if section.critic == "scripted":
        return ScriptedCritic()
    teacher = make_teacher(
        teacher_section(recipe), run.ledger, recipe.collect.concurrency, role="critic"
    )
    return TeacherCritic(teacher, solutions(section.golden), section.retries)


async def _check_environment(recipe: Recipe, section: ReflectSection) -> None:
    """Begin one task, and fork it."""
    name = recipe.env.name
    env = make_env(name, **agent_plan(recipe).options)
    try:
        collect = recipe.collect
        tasks = some_tasks(env, collect.split, 1, collect.first, "collect.first")
        await env.reset(tasks[0])
        needs_expert = section.critic == "scripted" or section.golden == "expert"
        if needs_expert and not isinstance(env, HasExpert):
            raise ConfigError(
                f"environment '{name}' has no scripted expert; set reflect.critic to teacher, and "
                "reflect.golden to a run folder with solutions"
            )
        try:
            await (await env.fork()).close()
        except EnvError as error:
            raise ConfigError(
                f"environment '{name}' can neither fork nor replay an episode, which reflection "
                f"needs in order to judge a step before it counts: {error}"
            ) from error
    finally:
        await env.close()
