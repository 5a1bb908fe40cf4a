"""First-thought prefix: a teacher that begins to act as it would begin to reason.

For the first message of an episode the model is asked twice. First it answers the question as a
chain of thought, without tools. Then it acts, and its message begins with the first paragraph of
that chain of thought, word for word: the text stands in its mouth already, and it goes on from
there. A scripted expert does the same with the chain of thought of the environment's reasoner. What
is logged is what it was made to continue and what it wrote, byte for byte; a student is
trained on both and needs no prefix itself.

Which servers and templates can continue a text exactly is the business of
`agentkd.calls.continuation`; a policy that cannot is refused before the first call. Source:
Kang et al. (2505.17612).
"""

import re
from dataclasses import replace
from typing import Any, Literal, Self

from agentkd_envs import EnvSpec, Observation

from agentkd.errors import ConfigError, ContinuationError
from agentkd.policies.base import (
    Actor,
    CanContinue,
    Conversation,
    EpisodeContext,
    Policy,
    Reply,
)
from agentkd.prompts import CanBegin
from agentkd.prompts.cot import CotFormat
from agentkd.trajectory import Message, PolicyInfo

Extent = Literal["paragraph", "sentence"]

_LABEL = re.compile(r"^[ \t>*_#-]*thought[ \t]*[*_]*[ \t]*:[ \t*_]*", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s")


class FirstThoughtActor:
    """One episode."""

    def __init__(
        self, inner: Actor, reasoner: Actor, style: CanBegin, spec: EnvSpec, until: Extent
    ) -> None:
        self._inner, self._reasoner = inner, reasoner
        self._style, self._spec, self._until = style, spec, until

    async def act(self, conversation: Conversation) -> Reply:
        """Ask for a chain of thought first if this is the first message of the episode."""
        if not isinstance(conversation.last, Observation):
            return await self._inner.act(conversation)
        asked = reasoning_request(conversation.messages, self._spec)
        reasoning = await self._reasoner.act(replace(conversation, messages=asked))
        thought = first_thought(reasoning.text, self._until)
        if not thought or reasoning.is_context_full:
            reply, prefix = await self._inner.act(conversation), ""
        else:
            prefix = self._style.begin(thought)
            begun = [*conversation.messages, Message("assistant", prefix)]
            reply = await self._inner.act(replace(conversation, messages=begun))
            cut_off = reply.is_context_full or reply.finish_reason == "content_filter"
            if not cut_off and not reply.text.startswith(prefix):
                raise ContinuationError(
                    f"the model was to continue {prefix[:60]!r}, but wrote {reply.text[:60]!r}"
                )
        facts = {
            "prefix": prefix,
            "chain_of_thought": reasoning.text,
            "prompt_tokens": reasoning.usage.prompt_tokens,
            "completion_tokens": reasoning.usage.completion_tokens,
        }
        own, other = reply.latency_s, reasoning.latency_s
        return replace(
            reply,
            usage=reply.usage + reasoning.usage,
            latency_s=None if own is None or other is None else own + other,
            info={**reply.info, "first_thought": facts},
        )

    async def close(self) -> None:
        """Close the policy's own actors."""
        await self._reasoner.close()
        await self._inner.close()


class FirstThoughtPolicy:
    """Wraps a policy that can continue a text. Use it as an async context manager."""

    def __init__(self, policy: Policy, until: Extent = "paragraph") -> None:
        """Raises `ConfigError` for a policy that writes whole messages only."""
        if not isinstance(policy, CanContinue):
            raise ConfigError(
                f"the policy '{policy.info.name}' cannot be made to continue a text, as the "
                "first-thought prefix needs it; it is for experts, chat models and students"
            )
        self._policy, self._until = policy, until
        self._is_checked = False

    @property
    def info(self) -> PolicyInfo:
        """The policy underneath, with a name of its own."""
        inner = self._policy.info
        return replace(inner, name=f"{inner.name}+ftp")

    async def begin(self, episode: EpisodeContext) -> FirstThoughtActor:
        """Raises `ContinuationError` if the model cannot continue a beginning of the format."""
        if not isinstance(episode.format, CanBegin):
            raise ConfigError(
                f"a reply in the format '{episode.format.name}' has no thought to begin with; the "
                "first-thought prefix needs codeact, react or toolcalls"
            )
        if not self._is_checked:
            assert isinstance(self._policy, CanContinue)
            self._policy.check_continuation(episode.format.begin("First, this."))
            self._is_checked = True
        reasoner = await self._policy.begin(replace(episode, format=CotFormat()))
        actor = await self._policy.begin(episode)
        return FirstThoughtActor(actor, reasoner, episode.format, episode.env.spec, self._until)

    async def __aenter__(self) -> Self:
        """Open the policy."""
        await self._policy.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> bool | None:
        """Close the policy."""
        return await self._policy.__aexit__(*error)


def reasoning_request(messages: list[Message], spec: EnvSpec) -> list[Message]:
    """The question alone, with the instructions of a chain of thought."""
    return [Message("system", CotFormat().system_prompt(spec)), messages[-1]]


def first_thought(text: str, until: Extent) -> str:
    """The first paragraph or sentence of a chain of thought, without a label `Thought:`."""
    unlabelled = _LABEL.sub("", text.strip(), count=1).strip()
    paragraph = re.split(r"\n[ \t]*\n", unlabelled, maxsplit=1)[0].rstrip()
    if until == "paragraph":
        return paragraph
    return _SENTENCE_END.split(paragraph, maxsplit=1)[0]
