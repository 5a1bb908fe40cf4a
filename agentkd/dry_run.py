"""What a collection would do and what it may cost, without a single call.

The first prompt is built by the episode loop itself. The size of the whole is estimated from
episodes of the environment's scripted expert, which needs about as many steps as a good teacher; an
environment without one is taken at its step limit. Tokens are counted as four characters each,
unless the teacher's tokenizer is set. A critic is taken to read what a teacher would; the solution
that it also reads, and plans, are not counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import anyio
from agentkd_envs import HasExpert, Task

from agentkd.collect import Setting
from agentkd.contestants import teacher_section
from agentkd.errors import UserError
from agentkd.pipeline import check_teacher, collected_tasks, setting_of, with_examples
from agentkd.policies import ExpertPolicy, Policy, ScriptedPolicy
from agentkd.policies.first_thought import reasoning_request
from agentkd.protocols.resolve import agent_plan
from agentkd.recipe import Recipe
from agentkd.run_folder import RunFolder
from agentkd.store import EpisodeReader
from agentkd.teachers import prices_of
from agentkd.trajectory import Message, Trajectory, Usage

SAMPLED_EPISODES = 5
ASSUMED_ANSWER_TOKENS = 100
ASSUMED_CALL_S = 4.0


@dataclass(frozen=True)
class Estimate:
    """Of all episodes that are still to be played."""

    steps_per_episode: float
    is_from_expert: bool
    """False if the step limit stands in for the steps."""
    usage: Usage
    """`cached_tokens` is what a prefix cache can save at most."""
    cost_without_cache_usd: float | None
    seconds: float


@dataclass(frozen=True)
class DryRun:
    """What would be done."""

    tasks: Sequence[Task]
    planned: int
    finished: int
    """Episodes that are there already."""
    prompt: tuple[Message, ...]
    """The first prompt."""
    reasoning: tuple[Message, ...]
    """What is asked before, for the first thought; empty without a first-thought prefix."""
    rendered: str | None
    """The first prompt as the model's chat template renders it, if its tokenizer is set."""
    estimate: Estimate | None
    """None if no chat model is called."""


def dry_run(run: RunFolder, recipe: Recipe) -> DryRun:
    """Look ahead; raises what `collect_stage` would raise for settings that make no sense."""
    settings = recipe.collect
    check_teacher(recipe)
    plan = agent_plan(recipe)
    setting = setting_of(recipe, plan, seed=settings.seed, is_training=True)
    tasks = collected_tasks(recipe, setting)
    setting = with_examples(setting, recipe, plan, tasks)
    wanted = {(task.id, attempt) for task in tasks for attempt in range(settings.attempts)}
    finished = {s.key for s in EpisodeReader(run.trajectories).summaries() if s.is_graded} & wanted
    (begun,) = _play(ScriptedPolicy(lambda _: []), setting, tasks[:1], steps=0)
    if not begun.is_graded:
        raise UserError(f"the first episode cannot begin: {begun.outcome.error}")
    prompt = begun.prompt
    estimate = None
    if _asks_a_chat_model(recipe):
        estimate = _estimate(recipe, setting, tasks, len(wanted) - len(finished))
    rendered = _rendered(recipe, prompt)
    reasoning: list[Message] = []
    if "ftp" in settings.policy.split("+"):
        reasoning = reasoning_request(list(prompt), setting.make_env().spec)
    return DryRun(tasks, len(wanted), len(finished), prompt, tuple(reasoning), rendered, estimate)


def _asks_a_chat_model(recipe: Recipe) -> bool:
    policy = recipe.collect.policy.split("+")[0]
    has_critic = recipe.reflect is not None and recipe.reflect.critic == "teacher"
    return policy in ("teacher", "boosted") or (policy == "reflecting" and has_critic)


def _estimate(recipe: Recipe, setting: Setting, tasks: Sequence[Task], episodes: int) -> Estimate:
    teacher = teacher_section(recipe)
    answer = min(ASSUMED_ANSWER_TOKENS, teacher.sampling.max_tokens or ASSUMED_ANSWER_TOKENS)
    played: list[Trajectory] = []
    if isinstance(setting.make_env(), HasExpert):
        played = _play(ExpertPolicy(), setting, tasks[:SAMPLED_EPISODES], setting.max_steps)
    is_from_expert = bool(played) and all(trajectory.is_graded for trajectory in played)
    if not is_from_expert:
        say_nothing = ScriptedPolicy(lambda _: [""] * (setting.max_steps + 1))
        played = _play(say_nothing, setting, tasks[:1], setting.max_steps)
    usages = [_usage(trajectory, answer) for trajectory in played]
    total = Usage.total(usages)
    scale = episodes / len(played)
    usage = Usage(
        round(total.prompt_tokens * scale),
        round(total.completion_tokens * scale) * teacher.sampling.n,
        round(total.cached_tokens * scale),
    )
    steps = sum(len(trajectory.steps) for trajectory in played) / len(played)
    prices = prices_of(teacher)
    uncached = Usage(usage.prompt_tokens, usage.completion_tokens)
    limits = teacher.limits
    minutes = [
        steps * episodes * ASSUMED_CALL_S / min(recipe.collect.concurrency, episodes or 1) / 60,
        steps * episodes / (limits.requests_per_minute or float("inf")) / len(teacher.base_urls),
        (usage.prompt_tokens + usage.completion_tokens)
        / (limits.tokens_per_minute or float("inf"))
        / len(teacher.base_urls),
    ]
    return Estimate(
        steps,
        is_from_expert,
        Usage(
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.cached_tokens,
            prices.cost_usd(usage),
        ),
        prices.cost_usd(uncached),
        max(minutes) * 60,
    )


def _usage(trajectory: Trajectory, answer_tokens: int) -> Usage:
    """Of one episode, each of whose calls reads all that was said before it."""
    prompt = sum(len(message.content) for message in trajectory.prompt) // 4
    total, read_before = Usage(), 0
    for step in trajectory.steps:
        total += Usage(prompt, answer_tokens, read_before)
        read_before = prompt + answer_tokens
        prompt = read_before + len(step.observation) // 4
    return total


def _rendered(recipe: Recipe, prompt: tuple[Message, ...]) -> str | None:
    is_critics = recipe.collect.policy.startswith("reflecting")
    if is_critics or not _asks_a_chat_model(recipe):
        return None
    teacher = teacher_section(recipe)
    if teacher.tokenizer is None:
        return None
    from agentkd.calls.continuation import Continuation

    return Continuation("text", teacher.tokenizer).renderer.render(prompt, generate=True)


def _play(policy: Policy, setting: Setting, tasks: Sequence[Task], steps: int) -> list[Trajectory]:
    async def play() -> list[Trajectory]:
        env = setting.make_env()
        try:
            return [await setting.play(policy, env, task, max_steps=steps) for task in tasks]
        finally:
            await env.close()

    return anyio.run(play)
