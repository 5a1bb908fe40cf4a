"""A base agent that a critic corrects as it goes: self-reflected trajectories as in STeP.

At each step the base agent acts, its action is executed in a fork of the environment, and the
critic judges it. A good step becomes part of the episode as it is. A mistake becomes part of it
too, tagged `error` and without loss, and the critic's reflection and corrected step follow. Where
the correction runs from is the mode:

    rollback   the state before the mistake, which is thereby undone; the mistake and its
               observation stay in the context
    continue   the state that the mistake led to

The `info` of the correction says which, and of which step (`agentkd.replay` reads it).

The published text ("Training LLM-Based Agents with Synthetic Self-Reflected Trajectories and
Partial Masking", 2505.20023) does not say which it means. A mistake that ends the episode can only
be rolled back. Reflection and correction are one message, the reflection being its thought, tagged
`correction`; a format whose thoughts are replies of their own has two, the first one tagged
`reflection`. `agentkd.reflections` finds both. Every observation and the final reward come from
executions; none is imagined.

A correction that the environment refuses is thrown away and asked for again, `retries` times; after
that, and after `max_reflections` in one episode, a mistake stands uncorrected, still without loss.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from agentkd_envs import Env, Move, Observation, StepResult
from anyio import CancelScope

from agentkd.policies.base import Actor, Branch, Conversation, EpisodeContext, Policy, Reply
from agentkd.policies.critics.base import Critic, CriticActor, ExecutedStep, Judgement, Mode
from agentkd.prompts import ActionFormat, ParsedReply, ThinksApart
from agentkd.replay import AFTER, BEFORE, CORRECTS, STATE
from agentkd.trajectory import PolicyInfo, Usage


@dataclass(frozen=True)
class ReflectionLimits:
    """How often a critic may step in."""

    max_reflections: int = 10
    """Corrected mistakes per episode."""
    retries: int = 2
    """Further corrections that are asked for if the environment refuses one."""


class ReflectingActor:
    """One episode of a base agent and its critic."""

    def __init__(
        self,
        base: Actor,
        critic: CriticActor,
        action_format: ActionFormat,
        mode: Mode,
        limits: ReflectionLimits,
    ) -> None:
        self._base, self._critic, self._format = base, critic, action_format
        self._mode, self._limits = mode, limits
        self._forks: list[Env] = []
        """Those that the episode has not taken over."""
        self._waiting: deque[Reply] = deque()
        """The critic's replies, to be given next."""
        self._said = 0
        self._reflections = 0

    @property
    def hint(self) -> Mapping[str, Any] | None:
        """What the critic saw that a student must not see."""
        return self._critic.hint

    async def act(self, conversation: Conversation) -> Reply:
        """Let the critic say what it has to say, or else the base agent act and be judged."""
        if isinstance(conversation.last, Observation):
            await self._critic.start(conversation.last)
        if self._waiting and not conversation.is_final:
            return self._given(self._waiting.popleft())
        reply = await self._base.act(conversation)
        # What is an error, and what carries loss, is the critic's to say.
        reply = replace(reply, author="base", tag=None, loss=True)
        parsed = self._format.parse(reply.text, reply.finish_reason)
        is_thought_alone = parsed.action is None and parsed.error is None
        is_over = reply.is_context_full or reply.finish_reason == "content_filter"
        if is_over or is_thought_alone or conversation.is_final:
            return self._given(reply)
        return self._given(await self._judged(conversation, reply, parsed))

    async def close(self) -> None:
        """Close both, and every fork that the episode did not go on in."""
        with CancelScope(shield=True):
            await self._base.close()
            await self._critic.close()
            while self._forks:
                await self._forks.pop().close()

    def _given(self, reply: Reply) -> Reply:
        self._said += 1
        if reply.branch is not None:
            self._forks.remove(reply.branch.env)
        return reply

    async def _judged(self, conversation: Conversation, reply: Reply, parsed: ParsedReply) -> Reply:
        """The base agent's reply as it becomes part of the episode; what follows it waits."""
        executed, branch = await self._execute(conversation, reply, parsed)
        judgement = await self._critic.judge(executed)
        if judgement.label != "mistake":
            self._note(executed)
            return replace(reply, branch=branch, info={"judge": _record(judgement)})
        if self._mode == "continue":
            self._note(executed)
        corrected = await self._corrected(executed, judgement)
        is_undone = corrected is not None and self._mode == "rollback"
        if corrected is None and self._mode == "rollback":
            self._note(executed)
        if corrected is not None:
            self._reflections += 1
            move, state, usage = corrected
            self._critic.note(move.action, state.answer)
            self._waiting += self._critic_replies(move, state, usage)
        if branch is not None and is_undone:
            # The mistake may have ended the episode, but it is taken back.
            branch = Branch(branch.env, replace(branch.answer, terminated=False, success=False))
        return replace(
            reply,
            tag="error",
            loss=False,
            branch=branch,
            info={"judge": _record(judgement)},
        )

    async def _execute(
        self, conversation: Conversation, reply: Reply, parsed: ParsedReply
    ) -> tuple[ExecutedStep, Branch | None]:
        before = conversation.env
        if parsed.action is None:
            error = parsed.error or "malformed"
            answer = StepResult(self._format.explain_error(error), valid=False)
            return ExecutedStep(conversation, reply.text, None, before, answer), None
        branch = await self._try(before, parsed.action)
        executed = ExecutedStep(conversation, reply.text, parsed.action, branch.env, branch.answer)
        return executed, branch

    async def _corrected(
        self, executed: ExecutedStep, judgement: Judgement
    ) -> tuple[Move, Branch, Usage] | None:
        """The critic's move, executed; None if there is none, or none that is possible."""
        if self._reflections >= self._limits.max_reflections:
            return None
        if self._mode == "continue" and executed.answer.terminated:
            return None
        state = executed.after if self._mode == "continue" else executed.conversation.env
        usage, tries = judgement.usage, self._limits.retries
        while (move := judgement.correction) is not None:
            branch = await self._try(state, move.action)
            if branch.answer.valid:
                return move, branch, usage
            self._forks.remove(branch.env)
            await branch.env.close()
            if not tries:
                break
            tries -= 1
            judgement = await self._critic.judge_again(executed, move, branch.answer)
            usage += judgement.usage
        return None

    async def _try(self, state: Env, action: str) -> Branch:
        fork = await state.fork()
        self._forks.append(fork)
        return Branch(fork, await fork.step(action))

    def _note(self, executed: ExecutedStep) -> None:
        if executed.action is not None:
            self._critic.note(executed.action, executed.answer)

    def _critic_replies(self, move: Move, state: Branch, usage: Usage) -> list[Reply]:
        info = {
            CORRECTS: self._said,
            STATE: BEFORE if self._mode == "rollback" else AFTER,
        }
        text = self._format.render(move.thought, move.action)
        correction = Reply(
            text,
            "critic",
            tag="correction",
            usage=usage,
            finish_reason="stop",
            latency_s=0.0,
            branch=state,
            info=info,
        )
        if not isinstance(self._format, ThinksApart):
            return [correction]
        reflection = Reply(
            self._format.render_thought(move.thought),
            "critic",
            tag="reflection",
            finish_reason="stop",
            latency_s=0.0,
            info=info,
        )
        return [reflection, correction]


class ReflectingPolicy:
    """Lets `base` act and `critic` correct it. Use it as an async context manager."""

    def __init__(
        self,
        base: Policy,
        critic: Critic,
        *,
        mode: Mode = "rollback",
        limits: ReflectionLimits | None = None,
    ) -> None:
        self.base, self.critic, self.mode = base, critic, mode
        self.limits = limits or ReflectionLimits()
        self.info = PolicyInfo(
            "mixed",
            f"{base.info.name}+{critic.name} critic",
            model=base.info.model,
            sampling={**base.info.sampling, "critic": critic.name, "mode": mode},
        )

    async def begin(self, episode: EpisodeContext) -> ReflectingActor:
        """Begin with both; raises what they raise."""
        critic = await self.critic.begin(episode, self.mode)
        base = await self.base.begin(episode)
        return ReflectingActor(base, critic, episode.format, self.mode, self.limits)

    async def __aenter__(self) -> Self:
        """Open the base agent and the critic."""
        await self.base.__aenter__()
        await self.critic.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        """Close them."""
        await self.critic.__aexit__(*error)
        await self.base.__aexit__(*error)


def _record(judgement: Judgement) -> dict[str, Any]:
    record: dict[str, Any] = {"label": judgement.label, "why": judgement.why}
    if not judgement.usage.is_empty:
        record["usage"] = {
            "prompt_tokens": judgement.usage.prompt_tokens,
            "completion_tokens": judgement.usage.completion_tokens,
        }
    return record
