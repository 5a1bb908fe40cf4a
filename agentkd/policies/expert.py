"""The scripted expert of an environment as a policy: a teacher that needs no key and no model.

The expert sees what the agent sees. If another policy spoke in its place (a mistake that was
injected, a student that acts while the expert only advises), it is told so and goes on from there.
"""

from agentkd_envs import Expert, HasExpert, Observation

from agentkd.errors import ConfigError
from agentkd.policies.base import (
    Conversation,
    EpisodeContext,
    Reply,
    StatelessActor,
    StatelessPolicy,
    assistant_texts,
)
from agentkd.prompts import ActionFormat
from agentkd.trajectory import PolicyInfo


class ExpertActor(StatelessActor):
    """The expert within one episode."""

    def __init__(self, expert: Expert, action_format: ActionFormat) -> None:
        self.expert = expert
        self._format = action_format
        self._own_text: str | None = None

    async def act(self, conversation: Conversation) -> Reply:
        """Ask the expert for its move, after telling it of a move that was not its own."""
        answer = conversation.last
        if isinstance(answer, Observation):
            move = self.expert.first(answer.text)
        else:
            said = assistant_texts(conversation.messages)[-1]
            if said != self._own_text:
                self.expert.note_action(self._format.parse(said).action or "")
            move = self.expert.next(answer.text)
        self._own_text = self._format.render(move.thought, move.action)
        return Reply(self._own_text, "expert", finish_reason="stop")


class ExpertPolicy(StatelessPolicy):
    """Acts as the environment's scripted expert does."""

    info = PolicyInfo("expert", "expert")

    async def begin(self, episode: EpisodeContext) -> ExpertActor:
        """Raises `ConfigError` if the environment has no expert."""
        if not isinstance(episode.env, HasExpert):
            raise ConfigError(f"environment '{episode.task.env}' has no scripted expert")
        return ExpertActor(episode.env.expert(), episode.format)
