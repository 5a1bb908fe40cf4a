"""What an agent can know of a household game from the text alone.

`Belief.read` takes every observation in turn and keeps: where the agent is, what each receptacle
was last seen to hold, which are open, what is in the hand, and what was cleaned, heated or cooled.
It never looks into the engine, and it does not matter who chose the actions.
"""

import re

from agentkd_envs.errors import TaskDataError
from agentkd_envs.household.game import Goal
from agentkd_envs.household.search_order import kind_of

_ROOM = re.compile(r"Looking quickly around you, you see (.*)\.")
_NAME = re.compile(r"a (\S+ \d+)")
_FACING = re.compile(r"You are facing the (.*?)\. Next to it")
_DESCRIBED = re.compile(r"(?:On the (\S+ \d+), you see|The (\S+ \d+) is (open|closed)\.)")
_TAKEN = re.compile(r"You pick up the (\S+ \d+) from the (\S+ \d+)\.")
_PUT = re.compile(r"You (?:move|put) the (\S+ \d+) (?:to|in/on) the (\S+ \d+)\.")
_CLOSED = re.compile(r"You close the (\S+ \d+)\.")
_TREATED = re.compile(r"You (clean|heat|cool) the (\S+ \d+) using the (\S+ \d+)\.")
_CARRYING = re.compile(r"You are carrying: a (\S+ \d+)\.")
_EXAMINED = re.compile(r"This is a (.*?)(\w+ \d+)\.")

_WORD = r"(\w+)"
_SENTENCES = (
    (rf"(?:look at|examine the) {_WORD} (?:under|with) the {_WORD}", "look_at_obj_in_light"),
    (rf"(?:put|find) two {_WORD} (?:in|and put them in) {_WORD}", "pick_two_obj_and_place"),
    (
        rf"(?:put a clean|clean some) {_WORD} (?:in|and put it in) {_WORD}",
        "pick_clean_then_place_in_recep",
    ),
    (
        rf"(?:put a hot|heat some) {_WORD} (?:in|and put it in) {_WORD}",
        "pick_heat_then_place_in_recep",
    ),
    (
        rf"(?:put a cool|cool some) {_WORD} (?:in|and put it in) {_WORD}",
        "pick_cool_then_place_in_recep",
    ),
    (rf"put (?:a|some) {_WORD} (?:in|on) {_WORD}", "pick_and_place_simple"),
)
_COMPILED = tuple(
    (re.compile(rf"Your task is to: {pattern}\.?\s*$"), kind) for pattern, kind in _SENTENCES
)


def read_sentence(observation: str) -> Goal:
    """Understand the task sentence at the end of the first observation.

    Raises `TaskDataError` for a sentence that is none of ALFWorld's templates.
    """
    line = observation[observation.rfind("Your task is to:") :]
    for pattern, kind in _COMPILED:
        if match := pattern.match(line):
            thing, where = match.groups()
            if kind == "look_at_obj_in_light":
                return Goal(kind, thing, lamp=where)
            return Goal(kind, thing, where)
    raise TaskDataError(f"the expert does not understand the task sentence {line[-200:]!r}")


class Belief:
    """Everything seen so far in one episode."""

    def __init__(self, first_observation: str) -> None:
        self.goal = read_sentence(first_observation)
        room = _ROOM.search(first_observation)
        self.listing: list[str] = _NAME.findall(room.group(1)) if room else []
        self.here: set[str] = set()
        """Receptacles within reach."""
        self.neighbours: dict[str, set[str]] = {}
        """Receptacles known to share a location."""
        self.contents: dict[str, list[str]] = {}
        """Receptacle to what it was last known to hold; only those that were looked into."""
        self.is_open: dict[str, bool] = {}
        """Openable receptacles to whether they are open."""
        self.held = ""
        self.treated: dict[str, set[str]] = {"clean": set(), "heat": set(), "cool": set()}
        self.described = ""
        """The receptacle that the last observation was about, with its contents."""
        self.nothing_happened = False
        if not room:
            self._face(first_observation)

    def where_is(self, kind: str) -> dict[str, str]:
        """Return the known things of a kind, each with its receptacle, as listed."""
        return {
            thing: receptacle
            for receptacle in self.listing
            for thing in self.contents.get(receptacle, ())
            if kind_of(thing) == kind
        }

    def is_closed(self, receptacle: str) -> bool:
        """Return whether a receptacle is known to be closed."""
        return not self.is_open.get(receptacle, True)

    def read(self, observation: str) -> None:
        """Take in one observation."""
        self.described = ""
        self.nothing_happened = observation.startswith("Nothing happens")
        if self.nothing_happened:
            return
        if match := _DESCRIBED.search(observation):
            self._read_description(match, observation)
        elif match := _TAKEN.match(observation):
            thing, receptacle = match.groups()
            self._forget(thing)
            self.held = thing
            self._be_near(receptacle)
        elif match := _PUT.match(observation):
            thing, receptacle = match.groups()
            self._forget(thing)
            self.contents.setdefault(receptacle, []).append(thing)
            self._be_near(receptacle)
            self.held = ""
        elif match := _TREATED.match(observation):
            verb, thing, receptacle = match.groups()
            self._treat(verb, thing)
            self._be_near(receptacle)
        elif match := _CLOSED.match(observation):
            self.is_open[match.group(1)] = False
            self._be_near(match.group(1))
        elif match := _CARRYING.match(observation):
            self.held = match.group(1)
        elif observation.startswith("You are not carrying anything"):
            self.held = ""
        elif match := _EXAMINED.match(observation):
            self._read_examined(match.group(1), match.group(2))
        else:
            self._face(observation)

    def reach(self, receptacle: str) -> None:
        """Note that a receptacle must be at the present location: going there did nothing."""
        self._be_near(receptacle)

    def _read_description(self, match: re.Match[str], observation: str) -> None:
        receptacle = match.group(1) or match.group(2)
        if observation.startswith("You arrive"):
            self.here = {receptacle, *self.neighbours.get(receptacle, ())}
        else:
            self._be_near(receptacle)
        if match.group(3):
            self.is_open[receptacle] = match.group(3) == "open"
        if match.group(3) != "closed":
            seen = _NAME.findall(observation, match.end())
            for thing in seen:
                self._forget(thing)
            self.contents[receptacle] = seen
        self.described = receptacle

    def _be_near(self, receptacle: str) -> None:
        if receptacle in self.here:
            return
        self.here.add(receptacle)
        for name in self.here:
            self.neighbours.setdefault(name, set()).update(self.here)
        if receptacle not in self.listing:
            self.listing.append(receptacle)

    def _forget(self, thing: str) -> None:
        if thing == self.held:
            self.held = ""
        for things in self.contents.values():
            if thing in things:
                things.remove(thing)

    def _treat(self, verb: str, thing: str) -> None:
        self.treated[verb].add(thing)
        if verb == "heat":
            self.treated["cool"].discard(thing)
        elif verb == "cool":
            self.treated["heat"].discard(thing)

    def _read_examined(self, adjectives: str, thing: str) -> None:
        for word, verb in (("hot", "heat"), ("cool", "cool"), ("cold", "cool"), ("clean", "clean")):
            if word in adjectives:
                self._treat(verb, thing)

    def _face(self, observation: str) -> None:
        if match := _FACING.search(observation):
            names = re.findall(r"[a-z]+ \d+", match.group(1))
            self.here = set()
            for name in names:
                self._be_near(name)
