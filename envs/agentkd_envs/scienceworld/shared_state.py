"""What all episodes of one Java machine share, kept apart.

The simulator has three things once per machine that belong to an episode: the simplifications in
force, the generator of random numbers (which names an object goes by in lists of actions, what
seedlings inherit), and the number of the next object. Loading a task sets all three. When another
episode goes on, those of the one before are put away and its own are brought back.
"""

import struct
from dataclasses import dataclass
from typing import Any

_SCRAMBLER = 0x5DEECE66D
"""`java.util.Random.setSeed` combines its argument with this by exclusive or."""


@dataclass
class _State:
    simplifications: str
    random_seed: int = 0
    next_object: int = 0


class SharedState:
    """Exchanges the shared state of a Java machine between its episodes."""

    def __init__(self, java: Any) -> None:
        self._java = java
        self._random = getattr(getattr(java.scala.util, "Random$"), "MODULE$")
        self._states: dict[int, _State] = {}
        self._current: int | None = None

    def begin(self, episode: int, simplifications: str) -> None:
        """Put the current state away; what is loaded next is the episode's own."""
        self._put_away()
        self._states[episode] = _State(simplifications)
        self._current = episode

    def go_on_with(self, episode: int) -> None:
        """Bring back the state of an episode, if it is not there."""
        if episode == self._current:
            return
        self._put_away()
        state = self._states[episode]
        runtime = self._java.main.scala.scienceworld.runtime
        runtime.SimplifierProcessor.parseSimplificationStr(state.simplifications)
        self._random.setSeed(state.random_seed)
        getattr(self._java.util.UniqueIdentifier, "count_$eq")(state.next_object)
        self._current = episode

    def forget(self, episode: int) -> None:
        """Drop what is kept of an episode that has ended."""
        self._states.pop(episode, None)
        if self._current == episode:
            self._current = None

    def _put_away(self) -> None:
        if self._current is not None:
            state = self._states[self._current]
            state.random_seed = self._seed()
            state.next_object = self._java.util.UniqueIdentifier.count()

    def _seed(self) -> int:
        """Return the number that `setSeed` must get for the generator to go on as it would now.

        The generator shows its state only when it is serialised: the seed stands last, before the
        mark that ends its data.
        """
        generator = self._random.self()
        target = self._java.java.io.ByteArrayOutputStream()
        self._java.java.io.ObjectOutputStream(target).writeObject(generator)
        written = bytes(target.toByteArray())
        (seed,) = struct.unpack(">q", written[-9:-1])
        return int(seed) ^ _SCRAMBLER
