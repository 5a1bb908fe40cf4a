"""The random agent: a uniform choice among the admissible actions. The floor of every table."""

from random import Random

from agentkd.errors import ConfigError
from agentkd.policies.base import (
    Conversation,
    EpisodeContext,
    Reply,
    StatelessActor,
    StatelessPolicy,
)
from agentkd.prompts import ActionFormat
from agentkd.trajectory import PolicyInfo


class RandomActor(StatelessActor):
    """Seeded by the attempt, so that an episode can be played again."""

    def __init__(self, seed: int, action_format: ActionFormat) -> None:
        self._random = Random(seed)
        self._format = action_format

    async def act(self, conversation: Conversation) -> Reply:
        """Raises `ConfigError` if the environment cannot list its admissible actions."""
        actions = conversation.last.admissible()
        if not actions:
            raise ConfigError(
                "the random policy needs an environment that lists admissible actions"
            )
        action = self._random.choice(actions)
        return Reply(self._format.render("", action), "random", finish_reason="stop")


class RandomPolicy(StatelessPolicy):
    """Chooses uniformly among the admissible actions."""

    info = PolicyInfo("random", "random")

    async def begin(self, episode: EpisodeContext) -> RandomActor:
        """One seeded generator per episode."""
        return RandomActor(episode.seed, episode.format)
