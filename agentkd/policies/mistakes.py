"""An expert that sometimes errs, and then repairs what it did.

A student that has only seen flawless episodes does not know what to do after its own first error.
Here a share of the expert's moves is replaced by a plausible mistake; the mistake stays in the
context and carries no loss, and the expert's repair is trained. This is partial masking as in STeP
(2505.20023) with an error that is injected rather than sampled; injecting noise into
demonstrations goes back to DART (Laskey et al., 1703.09327). Which mistakes are plausible is the
environment's knowledge (`CanErr`); that the noise is not fitted to the student is our reading.
"""

from random import Random

from agentkd_envs import CanErr

from agentkd.errors import ConfigError
from agentkd.policies.base import Conversation, EpisodeContext, Reply, StatelessPolicy
from agentkd.policies.expert import ExpertActor, ExpertPolicy
from agentkd.prompts import ActionFormat
from agentkd.trajectory import PolicyInfo


class ErringActor:
    """The expert within one episode, with its errors."""

    def __init__(
        self, inner: ExpertActor, action_format: ActionFormat, rate: float, seed: int
    ) -> None:
        if not isinstance(inner.expert, CanErr):
            raise ConfigError(
                "this environment's expert cannot make mistakes; set collect.mistakes to 0"
            )
        self._inner, self._expert = inner, inner.expert
        self._format, self._rate = action_format, rate
        self._random = Random(seed)

    async def act(self, conversation: Conversation) -> Reply:
        """Ask the expert, and replace its move now and then."""
        reply = await self._inner.act(conversation)
        if self._random.random() >= self._rate:
            return reply
        move = self._expert.mistake(self._random)
        text = self._format.render(move.thought, move.action)
        if text == reply.text:
            return reply
        return Reply(text, "expert", tag="error", loss=False, finish_reason="stop")

    async def close(self) -> None:
        """Close the expert."""
        await self._inner.close()


class ErringExpertPolicy(StatelessPolicy):
    """The environment's scripted expert, erring with probability `rate` at each step."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.info = PolicyInfo("expert", "expert", sampling={"mistakes": rate})
        self._expert = ExpertPolicy()

    async def begin(self, episode: EpisodeContext) -> ErringActor:
        """Raises `ConfigError` if the environment's expert cannot err."""
        inner = await self._expert.begin(episode)
        return ErringActor(inner, episode.format, self.rate, episode.seed)
