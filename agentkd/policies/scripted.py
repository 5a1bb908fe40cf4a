"""A policy that says what it was told to say: for tests, demonstrations and replays."""

from collections.abc import Callable, Sequence

from agentkd.errors import PolicyError
from agentkd.policies.base import (
    Conversation,
    EpisodeContext,
    Reply,
    StatelessActor,
    StatelessPolicy,
)
from agentkd.trajectory import Author, PolicyInfo


class ScriptedActor(StatelessActor):
    """Reads out its lines."""

    def __init__(self, lines: Sequence[str | Reply], author: Author) -> None:
        self._lines = iter(lines)
        self._author = author

    async def act(self, conversation: Conversation) -> Reply:
        """Raises `PolicyError` when the script is over."""
        line = next(self._lines, None)
        if line is None:
            raise PolicyError("the script is over, but the episode is not")
        return line if isinstance(line, Reply) else Reply(line, self._author, finish_reason="stop")


class ScriptedPolicy(StatelessPolicy):
    """Says the lines that `script` returns for an episode."""

    def __init__(
        self,
        script: Callable[[EpisodeContext], Sequence[str | Reply]],
        name: str = "scripted",
        author: Author = "teacher",
    ) -> None:
        self.info = PolicyInfo(author, name)
        self._script, self._author = script, author

    async def begin(self, episode: EpisodeContext) -> ScriptedActor:
        """Ask for the lines of this episode."""
        return ScriptedActor(self._script(episode), self._author)
