"""A scripted solver that reads only what the agent reads, and says in a few words why it acts.

It keeps a `Belief` of the room from the observations and decides anew after each of them, so it
does not matter who chose the previous action: after a foreign action or "Nothing happens." it goes
on from what it then believes. The thoughts restate the subgoal, then what was found, then what
comes next, and name what the action uses, in few words and always the same ones, because small
models learn from them.
"""

from collections.abc import Iterable
from random import Random

from agentkd_envs.base import Move
from agentkd_envs.household.belief import Belief
from agentkd_envs.household.dialect import MOVE, Dialect
from agentkd_envs.household.game import DEVICES, TREATMENTS
from agentkd_envs.household.mistakes import mistake
from agentkd_envs.household.search_order import (
    SearchOrder,
    kind_of,
    plausible_first,
    plausible_kinds,
)

_TREATMENT_WORDS = {"clean": "Clean it", "heat": "Heat it", "cool": "Cool it"}


class HouseholdExpert:
    """Solves one episode of any of the six task kinds."""

    def __init__(
        self, dialect: Dialect = MOVE, search_order: SearchOrder = plausible_first
    ) -> None:
        self.dialect = dialect
        self.search_order = search_order
        self.belief: Belief
        self._orders: dict[str, list[str]] = {}
        self._last_action = ""
        self._failed: set[str] = set()
        """Actions that did nothing since one last did something."""
        self._refused: set[str] = set()
        """Actions that ever did nothing in this episode."""

    def first(self, observation: str) -> Move:
        """Choose the first action from the first observation.

        Raises `TaskDataError` if the task sentence is none of ALFWorld's templates.
        """
        self.belief = Belief(observation)
        self._orders.clear()
        self._failed.clear()
        self._refused.clear()
        return self._choose()

    def note_action(self, action: str) -> None:
        """Learn that `action` was executed instead of the expert's last move."""
        self._last_action = action

    def next(self, observation: str) -> Move:
        """Choose the next action after `observation`, whoever chose the action that led to it."""
        self.belief.read(observation)
        if self.belief.nothing_happened:
            self._failed.add(self._last_action)
            self._refused.add(self._last_action)
            self.belief.read_failure(self._last_action)
        else:
            self._failed.clear()
        return self._choose()

    def mistake(self, random: Random) -> Move:
        """Return a move that a careless agent might make now; the expert can repair it."""
        return mistake(self.belief, self.dialect, random)

    def _choose(self) -> Move:
        move = self._decide()
        if move.action in self._failed:
            # Belief and world disagree in a way that this solver has no name for: look again.
            here = sorted(self.belief.here, key=lambda name: (name not in move.action, name))
            fresh = [f"examine {name}" for name in here if f"examine {name}" not in self._failed]
            move = Move(move.thought, fresh[0] if fresh else "look")
        self._last_action = move.action
        if self.belief.nothing_happened:
            return Move(f"That did nothing. {move.thought}", move.action)
        return move

    def _decide(self) -> Move:
        goal, held = self.belief.goal, self.belief.held
        if held and kind_of(held) != goal.thing:
            return self._put_away(held)
        if not held:
            done = "One is done. " if self._destination_count() else ""
            return self._fetch(done, goal.thing)
        if goal.lamp:
            return self._light(held)
        verb = TREATMENTS.get(goal.kind)
        if verb and held not in self.belief.treated[verb]:
            return self._treat(held, verb)
        return self._place(f"Have {held}.", held, self._destination())

    # Finding.

    def _fetch(self, context: str, kind: str) -> Move:
        belief = self.belief
        spots = {t: r for t, r in belief.where_is(kind).items() if not self._is_done(r)}
        for thing, receptacle in spots.items():
            if receptacle in belief.here and not belief.is_closed(receptacle):
                return Move(f"{context}Any {kind}? {thing}.", f"take {thing} from {receptacle}")
        for thing, receptacle in spots.items():
            if receptacle in belief.here:
                return Move(f"{context}Find {kind}. {receptacle} is closed.", f"open {receptacle}")
            return _return_to(context, kind, thing, receptacle)
        return self._search(context, kind)

    def _search(self, context: str, kind: str) -> Move:
        belief = self.belief
        order = self._order(kind)
        unseen = [name for name in order if name not in belief.contents]
        if not unseen:
            # It must have been missed: search once more, but keep what is already in its place.
            unseen = [name for name in order if not self._is_done(name)]
            for name in unseen:
                belief.contents.pop(name, None)
        if not unseen:
            return Move(f"{context}Find {kind}.", "look")
        plausible = plausible_kinds(kind)
        for name in unseen:
            if name in belief.here and (name is unseen[0] or kind_of(name) in plausible):
                return self._look_into(f"{context}Find {kind}.", name)
        asked = f"Any {kind}? No." if belief.described else f"Find {kind}."
        return Move(f"{context}{asked} Next: {unseen[0]}.", f"go to {unseen[0]}")

    def _look_into(self, subgoal: str, receptacle: str) -> Move:
        if self.belief.is_closed(receptacle):
            return Move(f"{subgoal} {receptacle} is closed.", f"open {receptacle}")
        return Move(f"{subgoal} {receptacle} is here.", f"examine {receptacle}")

    def _order(self, kind: str) -> list[str]:
        if len(self._orders.get(kind, ())) != len(self.belief.listing):
            self._orders[kind] = list(self.search_order(kind, self.belief.listing))
        return self._orders[kind]

    # Using and placing.

    def _light(self, held: str) -> Move:
        belief, lamp_kind = self.belief, self.belief.goal.lamp
        context = f"Have {held}. "
        lamps = belief.where_is(lamp_kind)
        for lamp, receptacle in lamps.items():
            if receptacle in belief.here:
                return Move(f"{context}Any {lamp_kind}? {lamp}.", f"use {lamp}")
        for lamp, receptacle in lamps.items():
            return _return_to(context, lamp_kind, lamp, receptacle)
        return self._search(context, lamp_kind)

    def _treat(self, held: str, verb: str) -> Move:
        device = self._nearest(DEVICES[verb])
        if not device:
            return Move(f"Have {held}. There is no {DEVICES[verb]}.", "look")
        if device in self.belief.here:
            return Move(f"Have {held}. {device} is here.", f"{verb} {held} with {device}")
        return Move(f"Have {held}. {_TREATMENT_WORDS[verb]}: {device}.", f"go to {device}")

    def _place(self, subgoal: str, held: str, receptacle: str) -> Move:
        belief = self.belief
        if not receptacle:
            return Move(f"{subgoal} There is nowhere to put it.", "look")
        if receptacle not in belief.here:
            return Move(f"{subgoal} Put it: {receptacle}.", f"go to {receptacle}")
        if belief.is_closed(receptacle):
            return Move(f"{subgoal} {receptacle} is closed.", f"open {receptacle}")
        return Move(f"{subgoal} {receptacle} is here.", self._put(held, receptacle))

    def _put_away(self, held: str) -> Move:
        """Get rid of something that is not wanted, here if possible."""
        belief, goal = self.belief, self.belief.goal
        subgoal = f"Find {goal.thing}. Have {held}."
        fitting = plausible_kinds(kind_of(held))
        order = self._order(kind_of(held))
        options = [name for name in order if kind_of(name) in fitting] + order
        options = [name for name in options if self._put(held, name) not in self._refused]
        here = [name for name in options if name in belief.here and not belief.is_closed(name)]
        return self._place(subgoal, held, next(iter([*here, *options]), ""))

    def _put(self, thing: str, receptacle: str) -> str:
        return self.dialect.put_command.format(thing=thing, receptacle=receptacle)

    # Choosing receptacles.

    def _nearest(self, kind: str) -> str:
        """Return a receptacle of a kind, one within reach if possible; empty if there is none."""
        options = [name for name in self.belief.listing if kind_of(name) == kind]
        here = [name for name in options if name in self.belief.here]
        return next(iter([*here, *options]), "")

    def _wanted_in(self, receptacle: str) -> int:
        things: Iterable[str] = self.belief.contents.get(receptacle, ())
        return sum(kind_of(thing) == self.belief.goal.thing for thing in things)

    def _destination(self) -> str:
        """Return where to put the object: with the other one, else in reach, else as listed."""
        kind = self.belief.goal.receptacle
        if self.belief.goal.kind == "pick_two_obj_and_place":
            options = [name for name in self.belief.listing if kind_of(name) == kind]
            best = max(options, key=self._wanted_in, default="")
            if self._wanted_in(best):
                return best
        return self._nearest(kind)

    def _destination_count(self) -> int:
        """Return how many objects of a task for two are in their place."""
        if self.belief.goal.kind != "pick_two_obj_and_place":
            return 0
        return self._wanted_in(self._destination())

    def _is_done(self, receptacle: str) -> bool:
        """Return whether wanted objects in a receptacle must stay there."""
        return self._destination_count() > 0 and receptacle == self._destination()


def _return_to(context: str, kind: str, thing: str, receptacle: str) -> Move:
    return Move(f"{context}Where is {kind}? {thing} at {receptacle}.", f"go to {receptacle}")
