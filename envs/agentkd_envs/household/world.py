"""What never changes while a household game is played, as tables for the engine.

Entities are numbered in the order of their ids, which is the order in which TextWorld lists them;
all names and `go to` commands are made once per game and shared by all forks of an engine.
"""

from collections.abc import Iterable

from agentkd_envs.household.game import TREATMENTS, Game, entity_names

NOBODY = -1
"""Number of no receptacle, no thing and no place."""

TRAIT_FOR = {"clean": "cleanable", "heat": "heatable", "cool": "coolable"}
"""Verb to the trait that a thing needs for it."""


def listing(names: Iterable[str]) -> str:
    """Join as TextWorld does: `a, b, and c`; `a, and b`; `nothing`."""
    items = list(names)
    if not items:
        return "nothing"
    if len(items) == 1:
        return items[0]
    return f"{', '.join(items[:-1])}, and {items[-1]}"


class World:
    """What never changes during a game."""

    def __init__(self, game: Game) -> None:
        self.game = game
        self.dialect = game.dialect
        places = sorted({r.place for r in game.receptacles if r.place} | {game.start})
        ids = [*(r.id for r in game.receptacles), *(thing.id for thing in game.things)]
        names = entity_names([*ids, *places, *game.further_ids])
        self.place_number = {place: number for number, place in enumerate(places)}
        self.place_names = [names.get(place, f"{place} ") for place in places]
        self.receptacle_number = {r.id: number for number, r in enumerate(game.receptacles)}
        self.thing_number = {thing.id: number for number, thing in enumerate(game.things)}
        self.receptacle_names = [names[r.id] for r in game.receptacles]
        self.thing_names = [names[thing.id] for thing in game.things]
        self.a_thing = [f"a {name}" for name in self.thing_names]
        self.kind_of_receptacle = [r.kind for r in game.receptacles]
        self.kind_of_thing = [thing.kind for thing in game.things]
        self.is_openable = [r.is_openable for r in game.receptacles]
        self.place_of = [
            self.place_number[r.place] if r.place else NOBODY for r in game.receptacles
        ]
        self.standing_at: list[tuple[int, ...]] = [
            tuple(r for r, other in enumerate(self.place_of) if other == place)
            for place in range(len(places))
        ]
        self.can_contain = game.can_contain
        self.traits = [thing.traits for thing in game.things]
        self.go_to = {
            f"go to {name}": number
            for number, name in enumerate(self.receptacle_names)
            if self.place_of[number] != NOBODY
        }
        self._go_to_elsewhere: dict[int, list[str]] = {}
        self._prepare_goal(game)

    def _prepare_goal(self, game: Game) -> None:
        goal = game.goal
        self.wanted = frozenset(n for n, k in enumerate(self.kind_of_thing) if k == goal.thing)
        self.targets = [n for n, k in enumerate(self.kind_of_receptacle) if k == goal.receptacle]
        self.lamps = frozenset(
            number
            for number, thing in enumerate(game.things)
            if thing.kind == goal.lamp and "toggleable" in thing.traits
        )
        self.treatment = TREATMENTS.get(goal.kind, "")
        if self.treatment:
            trait = TRAIT_FOR[self.treatment]
            self.wanted = frozenset(n for n in self.wanted if trait in self.traits[n])

    def go_to_elsewhere(self, place: int) -> list[str]:
        """Return the `go to` commands that are possible at a place, sorted."""
        commands = self._go_to_elsewhere.get(place)
        if commands is None:
            commands = sorted(c for c, r in self.go_to.items() if self.place_of[r] != place)
            self._go_to_elsewhere[place] = commands
        return commands
