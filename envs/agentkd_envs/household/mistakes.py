"""Mistakes that a careless agent makes, for transcripts that show how to recover from them.

The kinds are those that small models were seen to make: they claim to see what is not there, go to
a place that does not exist or where they already are, lose the order of their search, and use or
place a thing before they are where it can be done.
"""

from collections.abc import Callable
from random import Random

from agentkd_envs.base import Move
from agentkd_envs.household.belief import Belief
from agentkd_envs.household.dialect import Dialect
from agentkd_envs.household.game import DEVICES, TREATMENTS
from agentkd_envs.household.search_order import kind_of

_MOST_COPIES = 3


def mistake(belief: Belief, dialect: Dialect, random: Random) -> Move:
    """Return a wrong move that is plausible in the state that `belief` describes."""
    options: list[Callable[[Belief, Dialect, Random], Move]] = [_wander, _go_nowhere]
    if belief.here:
        options.append(_stay)
    if belief.held:
        options += [_place_too_early, _use_too_early]
    elif belief.here:
        options += [_see_what_is_not_there] * 3
    return random.choice(options)(belief, dialect, random)


def _subgoal(belief: Belief) -> str:
    return f"Have {belief.held}." if belief.held else f"Find {belief.goal.thing}."


def _see_what_is_not_there(belief: Belief, dialect: Dialect, random: Random) -> Move:
    present = {thing for name in belief.here for thing in belief.contents.get(name, ())}
    names = [f"{belief.goal.thing} {number + 1}" for number in range(_MOST_COPIES)]
    thing = random.choice([name for name in names if name not in present] or names)
    where = random.choice(sorted(belief.here))
    return Move(f"Any {belief.goal.thing}? {thing}.", f"take {thing} from {where}")


def _wander(belief: Belief, dialect: Dialect, random: Random) -> Move:
    elsewhere = [name for name in belief.listing if name not in belief.here] or belief.listing
    where = random.choice(elsewhere)
    return Move(f"{_subgoal(belief)} Next: {where}.", f"go to {where}")


def _go_nowhere(belief: Belief, dialect: Dialect, random: Random) -> Move:
    kind = kind_of(random.choice(belief.listing))
    highest = sum(kind_of(name) == kind for name in belief.listing)
    where = f"{kind} {highest + random.randint(1, 2)}"
    return Move(f"{_subgoal(belief)} Next: {where}.", f"go to {where}")


def _stay(belief: Belief, dialect: Dialect, random: Random) -> Move:
    where = random.choice(sorted(belief.here))
    return Move(f"{_subgoal(belief)} Next: {where}.", f"go to {where}")


def _place_too_early(belief: Belief, dialect: Dialect, random: Random) -> Move:
    wanted = [name for name in belief.listing if kind_of(name) == belief.goal.receptacle]
    where = random.choice(wanted or belief.listing)
    command = dialect.put_command.format(thing=belief.held, receptacle=where)
    return Move(f"{_subgoal(belief)} {where} is here.", command)


def _use_too_early(belief: Belief, dialect: Dialect, random: Random) -> Move:
    if belief.goal.lamp:
        lamp = f"{belief.goal.lamp} 1"
        return Move(f"{_subgoal(belief)} Any {belief.goal.lamp}? {lamp}.", f"use {lamp}")
    verb = TREATMENTS.get(belief.goal.kind)
    if verb is None:
        return _wander(belief, dialect, random)
    device = f"{DEVICES[verb]} 1"
    return Move(f"{_subgoal(belief)} {device} is here.", f"{verb} {belief.held} with {device}")
