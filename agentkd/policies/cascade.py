"""The self-consistency cascade: a student acts, and a teacher takes the steps it is unsure of.

At each step the student proposes N actions for the same conversation. If all of them are the same
action (parsed and normalised, not letter by letter), the student's first reply stands; otherwise
the teacher takes this step, with the same conversation. With N = 1 the teacher is never asked.

    escalated = the N actions are not all the same
    cost      = sum over steps of N proposals, and of the teacher's reply where escalated

Each step keeps what it took under `cascade` in its `info`, apart for student and teacher, and the N
proposals among its candidates; its usage is the sum. A policy that can sample reads the prompt once
for all proposals; of any other, N actors are asked, each with a seed of its own.

Source: "In-Context Distillation with Self-Consistency Cascades" (2512.02543).
"""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from typing import Any, Self

import anyio
from agentkd_envs import Observation, StepResult

from agentkd.calls.prices import Price
from agentkd.errors import PolicyError, RunStopped
from agentkd.policies.base import Actor, CanSample, Conversation, EpisodeContext, Policy, Reply
from agentkd.policies.expert import ExpertActor
from agentkd.prompts import ActionFormat, ParsedReply
from agentkd.trajectory import PolicyInfo, Usage

_SEEDS_APART = 1_000_003
"""Between the seeds of two proposals, since an actor may count its own seed up at each turn."""


class CascadeActor:
    """One episode: the student's actors, and the teacher's."""

    def __init__(
        self,
        proposers: Sequence[Actor],
        teacher: Actor,
        action_format: ActionFormat,
        price: Price | None,
    ) -> None:
        self._proposers, self._format, self._price = proposers, action_format, price
        self._teacher = CatchingUp(teacher) if isinstance(teacher, ExpertActor) else teacher

    async def act(self, conversation: Conversation) -> Reply:
        """Let the student act if it agrees with itself, else the teacher."""
        replies = [self._priced(reply) for reply in await self._propose(conversation)]
        if isinstance(self._teacher, CatchingUp):
            self._teacher.note(conversation)
        proposals = [one for reply in replies for one in _proposals(reply)]
        parsed = [self._format.parse(one["text"], one.get("finish_reason")) for one in proposals]
        is_full = any(reply.is_context_full for reply in replies)
        agreed = len(proposals) == 1 or (not is_full and _agree(parsed))
        reply = replies[0] if agreed else await self._teacher.act(conversation)
        if reply.is_context_full:
            return reply
        spent = Usage.total(one.usage for one in replies)
        return replace(
            reply,
            usage=spent if agreed else spent + reply.usage,
            from_cache=reply.from_cache and all(one.from_cache for one in replies),
            latency_s=None,
            candidates=tuple(
                {**one, "action": read.action} for one, read in zip(proposals, parsed, strict=True)
            ),
            info={
                **reply.info,
                "cascade": {
                    "n": len(proposals),
                    "escalated": not agreed,
                    "student": asdict(spent),
                    "teacher": None if agreed else asdict(reply.usage),
                },
            },
        )

    async def close(self) -> None:
        """Close all actors."""
        async with AsyncExitStack() as stack:
            for actor in (self._teacher, *self._proposers):
                stack.push_async_callback(actor.close)

    async def _propose(self, conversation: Conversation) -> list[Reply]:
        """Ask all at once, so that a local model decodes them as one batch."""
        replies: dict[int, Reply] = {}
        failures: list[PolicyError | RunStopped] = []

        async def ask(number: int, actor: Actor) -> None:
            try:
                replies[number] = await actor.act(conversation)
            except (PolicyError, RunStopped) as failure:
                failures.append(failure)

        async with anyio.create_task_group() as group:
            for number, actor in enumerate(self._proposers):
                group.start_soon(ask, number, actor)
        if failures:
            raise failures[0]
        return [reply for _, reply in sorted(replies.items())]

    def _priced(self, reply: Reply) -> Reply:
        if self._price is None or reply.usage.is_empty:
            return reply
        cost = self._price.cost_usd(reply.usage)
        return replace(reply, usage=replace(reply.usage, cost_usd=cost))


class CatchingUp:
    """An expert that is asked now and then: before it answers, it is shown the turns it missed.

    An expert plans from all that the agent has seen; it costs nothing to let it follow.
    """

    def __init__(self, expert: ExpertActor) -> None:
        self._expert = expert
        self._missed: list[tuple[Observation | StepResult, str]] = []

    def note(self, conversation: Conversation) -> None:
        """Keep the turn for when the expert is asked."""
        self._missed.append((conversation.last, conversation.last_reply))

    async def act(self, conversation: Conversation) -> Reply:
        """Answer the last turn that was noted."""
        for last, said in self._missed:
            turn = replace(conversation, last=last, last_reply=said)
            reply = await self._expert.act(turn)
        self._missed = []
        return reply

    async def close(self) -> None:
        """Close the expert."""
        await self._expert.close()


class CascadePolicy:
    """A student and its teacher. Use it as an async context manager."""

    def __init__(
        self,
        student: Policy,
        teacher: Policy,
        n: int,
        price: Price | None,
        temperature: float = 0.7,
    ) -> None:
        """`price` is that of the student's tokens; `temperature` is for one that can sample."""
        self._actors = n
        if isinstance(student, CanSample):
            student, self._actors = student.with_candidates(n, temperature, 1.0), 1
        self._student, self._teacher, self._price = student, teacher, price
        self._open = AsyncExitStack()
        self.info = PolicyInfo(
            "mixed",
            f"{student.info.name}+cascade",
            model=student.info.model,
            sampling={
                **student.info.sampling,
                "n": n,
                "teacher": teacher.info.model or teacher.info.name,
            },
        )

    async def begin(self, episode: EpisodeContext) -> CascadeActor:
        """Begin the student's episodes and the teacher's."""
        proposers = [
            await self._student.begin(replace(episode, seed=episode.seed + number * _SEEDS_APART))
            for number in range(self._actors)
        ]
        teacher = await self._teacher.begin(episode)
        return CascadeActor(proposers, teacher, episode.format, self._price)

    async def __aenter__(self) -> Self:
        """Open both."""
        await self._open.enter_async_context(self._student)
        await self._open.enter_async_context(self._teacher)
        return self

    async def __aexit__(self, *error: Any) -> bool | None:
        """Close both."""
        return await self._open.__aexit__(*error)


def _proposals(reply: Reply) -> Sequence[Mapping[str, Any]]:
    """The candidates of a reply that was sampled several times, else the reply."""
    own = {"text": reply.text, "finish_reason": reply.finish_reason}
    return reply.candidates or (own,)


def _agree(parsed: Sequence[ParsedReply]) -> bool:
    """Whether all proposals are the same action, or all thoughts that stand alone."""
    if any(one.error is not None for one in parsed):
        return False
    return len({None if one.action is None else normalised(one.action) for one in parsed}) == 1


def normalised(action: str) -> str:
    """An action without what does not matter: spaces, and in one line the case and a full stop."""
    text = action.strip()
    if "\n" in text:
        return "\n".join(line.rstrip() for line in text.splitlines())
    return " ".join(text.casefold().rstrip(".").split())
