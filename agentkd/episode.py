"""The loop: one policy in one environment gives one trajectory.

What the agent does wrong is recorded and the episode goes on; what breaks around it (`PolicyError`,
`EnvError`) ends the episode with an infrastructure status. Everything else is a bug and is raised.
"""

import hashlib
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from agentkd_envs import (
    CanFinalise,
    Env,
    EnvError,
    Observation,
    SandboxFailedError,
    StepResult,
    Task,
)
from anyio import CancelScope

from agentkd.errors import PolicyError
from agentkd.policies.base import Actor, Conversation, EpisodeContext, HasHint, Policy, Reply
from agentkd.prompts import THOUGHT_ANSWER, ActionFormat, ParsedReply
from agentkd.prompts.answers import last_words
from agentkd.prompts.narration import PLAIN, Narration, Narrator
from agentkd.trajectory import EndedBy, Message, Outcome, Status, Step, Trajectory


def episode_seed(run_seed: int, task: Task, attempt: int) -> int:
    """Seed of one attempt at one task: the same on any machine, in any order."""
    digest = hashlib.sha256(f"{run_seed}/{task.id}/{attempt}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


async def run_episode(
    policy: Policy,
    env: Env,
    task: Task,
    action_format: ActionFormat,
    *,
    max_steps: int,
    max_tokens: int | None = None,
    max_seconds: float | None = None,
    system_prompt: str | None = None,
    attempt: int = 0,
    seed: int = 0,
    is_training: bool = False,
    narration: Narration = PLAIN,
    extra: Mapping[str, Any] | None = None,
) -> Trajectory:
    """Let `policy` act on `task` until it is over, and return all that happened.

    The environment is reset but not closed; a fork that a reply brings (`Reply.branch`) takes its
    place until the end and is closed. `seed` is that of the run; the episode derives its own.
    `max_tokens` counts prompts and completions of all calls; `max_seconds` the time that policy and
    environment took, without waiting for a turn. Both are looked at before each step. When the
    steps are used up, an environment that `CanFinalise` gets one message more, as the answer; that
    step is tagged `finalisation`. `RunStopped`
    is let through: an episode that was cut off by the run's budget is nobody's result. `extra` goes
    into the record as it is.
    """
    started = time.perf_counter()
    seed = episode_seed(seed, task, attempt)
    limits = _Limits(max_steps, max_tokens, max_seconds)
    play = _Play(env, action_format, limits, narration.begin(), system_prompt)
    actor = None
    error: str | None = None
    try:
        await play.reset(task)
        actor = await policy.begin(EpisodeContext(task, env, action_format, seed, is_training))
        ending = await play.run(actor)
    except EnvError as broken:
        is_sandbox = isinstance(broken, SandboxFailedError)
        ending = _Ending("sandbox_error" if is_sandbox else "env_error", "error")
        error = f"{type(broken).__name__}: {broken}"
    except PolicyError as broken:
        ending = _Ending("provider_error", "error")
        error = f"{type(broken).__name__}: {broken}"
    finally:
        if actor is not None:
            await actor.close()
        await play.leave_fork()
    reward = play.steps[-1].reward if play.steps else 0.0
    is_success = ending.ended_by == "success"
    return Trajectory(
        id=uuid.uuid4().hex,
        task=task,
        policy=policy.info,
        prompt=tuple(play.prompt),
        steps=tuple(play.steps),
        outcome=Outcome(reward, is_success, ending.status, ending.ended_by, error),
        attempt=attempt,
        seed=seed,
        wall_s=round(time.perf_counter() - started, 6),
        format=action_format.name,
        prompt_hash=hashlib.sha256((system_prompt or "").encode()).hexdigest()[:16],
        versions=dict(env.spec.versions),
        history=narration.history,
        hint=actor.hint if isinstance(actor, HasHint) else None,
        extra=dict(extra or {}),
    )


@dataclass(frozen=True)
class _Limits:
    """After which the episode is over."""

    steps: int
    tokens: int | None
    seconds: float | None


@dataclass(frozen=True)
class _Ending:
    """How an episode ended."""

    status: Status
    ended_by: EndedBy


class _Play:
    """What is under way in an episode: the conversation, the environment, what was used up."""

    def __init__(
        self,
        env: Env,
        action_format: ActionFormat,
        limits: _Limits,
        narrator: Narrator,
        system_prompt: str | None,
    ) -> None:
        self.prompt = [Message("system", system_prompt)] if system_prompt else []
        self.steps: list[Step] = []
        self._own = self._live = env
        self._format, self._limits, self._narrator = action_format, limits, narrator
        self._conversation = Conversation([], Observation(""), env)
        self._tokens, self._busy_s = 0, 0.0

    async def reset(self, task: Task) -> None:
        """Show the task."""
        first = await self._own.reset(task)
        self.prompt.append(Message("user", self._narrator.first(first)))
        self._conversation = Conversation(list(self.prompt), first, self._own)

    async def run(self, actor: Actor) -> _Ending:
        """Take turns until the episode is over."""
        has_last_word = isinstance(self._own, CanFinalise) and self._limits.steps > 0
        for number in range(self._limits.steps + has_last_word):
            self._conversation.is_final = number == self._limits.steps
            ending = self._used_up() or await self._take_turn(actor)
            if ending is not None:
                return ending
        return _Ending("budget", "max_steps")

    async def leave_fork(self) -> None:
        """Close the environment that is being played in, unless it is the caller's own."""
        if self._live is not self._own:
            with CancelScope(shield=True):
                await self._live.close()

    def _used_up(self) -> _Ending | None:
        if self._limits.tokens is not None and self._tokens >= self._limits.tokens:
            return _Ending("budget", "max_tokens")
        if self._limits.seconds is not None and self._busy_s >= self._limits.seconds:
            return _Ending("budget", "max_seconds")
        return None

    async def _take_turn(self, actor: Actor) -> _Ending | None:
        asked = time.perf_counter()
        reply = await actor.act(self._conversation)
        answered = time.perf_counter()
        latency_s = answered - asked if reply.latency_s is None else reply.latency_s
        if reply.is_context_full:
            return _Ending("budget", "context")
        if reply.finish_reason == "content_filter":
            return _Ending("ok", "content_filter")
        if reply.branch is not None:
            await self.leave_fork()
            self._live = self._conversation.env = reply.branch.env
        execute = _finalise if self._conversation.is_final else _execute
        parsed, answer = await execute(reply, self._live, self._format, self._conversation)
        step = self._narrate(reply, parsed, answer, latency_s)
        self.steps.append(step)
        self._tokens += step.usage.prompt_tokens + step.usage.completion_tokens
        self._busy_s += latency_s + time.perf_counter() - answered
        if answer.terminated:
            return _Ending("ok", "success" if answer.success else "failure")
        self._conversation.messages = self._narrator.continued(
            self._conversation.messages, reply.text, step.observation
        )
        self._conversation.last_reply, self._conversation.last = reply.text, answer
        return None

    def _narrate(
        self, reply: Reply, parsed: ParsedReply, answer: StepResult, latency_s: float
    ) -> Step:
        shown = answer
        is_last = len(self.steps) + 1 == self._limits.steps
        if is_last and isinstance(self._live, CanFinalise) and not answer.terminated:
            shown = replace(answer, text=f"{answer.text}\n\n{self._live.final_request}")
        observation = self._narrator.next(parsed.action or "(none)", shown)
        step = _step(reply, parsed, answer, observation, latency_s)
        return replace(step, tag="finalisation") if self._conversation.is_final else step


async def _execute(
    reply: Reply, env: Env, action_format: ActionFormat, conversation: Conversation
) -> tuple[ParsedReply, StepResult]:
    parsed = action_format.parse(reply.text, reply.finish_reason)
    if reply.branch is not None:
        return parsed, reply.branch.answer
    if parsed.action is not None:
        return parsed, await env.step(parsed.action)
    last = conversation.last
    answer = StepResult(
        action_format.explain_error(parsed.error) if parsed.error else THOUGHT_ANSWER,
        reward=last.reward if isinstance(last, StepResult) else 0.0,
        valid=parsed.error is None,
        admissible=last.admissible,
    )
    return parsed, answer


async def _finalise(
    reply: Reply, env: Env, action_format: ActionFormat, conversation: Conversation
) -> tuple[ParsedReply, StepResult]:
    assert isinstance(env, CanFinalise)
    said = last_words(reply.text, action_format)
    return ParsedReply(said), await env.finalise(said)


def _step(
    reply: Reply, parsed: ParsedReply, answer: StepResult, observation: str, latency_s: float
) -> Step:
    return Step(
        text=reply.text,
        observation=observation,
        action=parsed.action,
        thought=parsed.thought,
        format_error=parsed.error,
        reward=answer.reward,
        valid=answer.valid,
        author=reply.author,
        tag=reply.tag,
        loss=reply.loss,
        reasoning=reply.reasoning,
        token_ids=reply.token_ids,
        logprobs=reply.logprobs,
        candidates=reply.candidates,
        usage=reply.usage,
        from_cache=reply.from_cache,
        latency_s=round(latency_s, 6),
        finish_reason=reply.finish_reason,
        info={**answer.info, **reply.info},
    )
