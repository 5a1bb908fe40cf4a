"""The scripted expert of an environment as a policy: a teacher that needs no key and no model.

The expert sees what the agent sees. If another policy spoke in its place (a mistake that was
injected, a student that acts while the expert only advises), it is told so and goes on from there.
In a format whose thoughts are replies of their own, and cost a step, it thinks sparsely: when the
first sentence of its thought is another than before, at most once for three actions. In a format
whose replies are whole solutions it is the environment's reasoner. A reply that was begun for it
goes on with its own thought.
"""

from agentkd_envs import Expert, HasExpert, HasReasoner, Move, Observation

from agentkd.errors import ConfigError
from agentkd.policies.base import (
    Conversation,
    EpisodeContext,
    Reply,
    StatelessActor,
    StatelessPolicy,
)
from agentkd.prompts import ActionFormat, AnswersAtOnce, CanBegin, ThinksApart
from agentkd.trajectory import PolicyInfo

ACTIONS_PER_THOUGHT = 3


class ExpertActor(StatelessActor):
    """The expert within one episode."""

    def __init__(self, expert: Expert, action_format: ActionFormat) -> None:
        self.expert = expert
        self._format = action_format
        self._own_text: str | None = None
        self._subgoal = ""
        self._actions_since_thought = ACTIONS_PER_THOUGHT
        self._waiting: Move | None = None
        """The move behind a thought that was a reply of its own."""

    async def act(self, conversation: Conversation) -> Reply:
        """Ask the expert for its move, after telling it of a move that was not its own."""
        move = self._next_move(conversation)
        subgoal = move.thought.partition(". ")[0]
        is_due = self._actions_since_thought >= ACTIONS_PER_THOUGHT and subgoal != self._subgoal
        if isinstance(self._format, ThinksApart) and is_due:
            self._subgoal, self._waiting = subgoal, move
            self._actions_since_thought = 0
            self._own_text = self._format.render_thought(move.thought)
        else:
            self._actions_since_thought += 1
            self._own_text = self._format.render(move.thought, move.action)
        if conversation.messages[-1].role == "assistant":
            self._own_text = self._gone_on(conversation.messages[-1].content, move)
        return Reply(self._own_text, "expert", finish_reason="stop")

    def _gone_on(self, prefix: str, move: Move) -> str:
        """Put the expert's thought behind one that was begun, and its action behind both."""
        if not isinstance(self._format, CanBegin):
            raise ConfigError(f"a reply in the format '{self._format.name}' cannot be begun")
        whole = self._format.render(move.thought, move.action)
        head = self._format.begin(move.thought).rstrip()
        return f"{prefix}{move.thought}{whole.removeprefix(head)}"

    def _next_move(self, conversation: Conversation) -> Move:
        waiting, self._waiting = self._waiting, None
        if isinstance(conversation.last, Observation):
            return self.expert.first(conversation.last.text)
        if conversation.last_reply != self._own_text:
            said = self._format.parse(conversation.last_reply).action
            self.expert.note_action(said or "")
        elif waiting is not None:
            return waiting
        return self.expert.next(conversation.last.text)


class ExpertPolicy(StatelessPolicy):
    """Acts as the environment's scripted expert does."""

    info = PolicyInfo("expert", "expert")

    def check_continuation(self, prefix: str) -> None:
        """An expert continues any beginning of a format that has one."""

    async def begin(self, episode: EpisodeContext) -> ExpertActor:
        """Raises `ConfigError` if the environment has no expert, or none for the format."""
        env = episode.env
        if isinstance(episode.format, AnswersAtOnce):
            if not isinstance(env, HasReasoner):
                raise ConfigError(
                    f"environment '{episode.task.env}' has no expert that answers at once, as the "
                    f"format '{episode.format.name}' wants it"
                )
            return ExpertActor(env.reasoner(), episode.format)
        if not isinstance(env, HasExpert):
            raise ConfigError(f"environment '{episode.task.env}' has no scripted expert")
        return ExpertActor(env.expert(), episode.format)
