"""Replays ScienceWorld's own solution of a task, its gold path.

It knows the solution and does not look at what happens. Its thoughts say so; they are no model of
how to reason. An action that was not its own is not repaired: the expert goes on where it was.
"""

from collections.abc import Iterable, Sequence

from agentkd_envs.base import Move


class GoldExpert:
    """The gold path as an expert, from wherever the episode has got to on it."""

    def __init__(self, path: Sequence[str], done: Iterable[str] = ()) -> None:
        """`path` are the actions of the solution, `done` those that were executed already."""
        self.path = tuple(path)
        self._position = 0
        self._is_own_move_open = False
        for action in done:
            self.note_action(action)

    def first(self, observation: str) -> Move:
        """Choose the next action of the solution."""
        self._is_own_move_open = True
        if self._position >= len(self.path):
            return Move("The recorded solution ends here; I look around.", "look around")
        action = self.path[self._position]
        return Move(f"The recorded solution of this task goes on with: {action}.", action)

    def next(self, observation: str) -> Move:
        """Choose the next action of the solution, unseen what the last one led to."""
        if self._is_own_move_open:
            self._position += 1
        return self.first(observation)

    def note_action(self, action: str) -> None:
        """Go on where the solution was, or one further if the action happens to be its next."""
        self._is_own_move_open = False
        if self._position < len(self.path) and action == self.path[self._position]:
            self._position += 1
