"""Plays one household game exactly as TextWorld plays ALFWorld's: same text, same commands.

The state is a few small sets, and per receptacle a sorted tuple of the things in it, replaced when
it changes, so that a fork copies references only. What never changes is in the shared `World`.

TextWorld's habits that are reproduced on purpose:

- going to where you already are (or to a neighbour that shares the location) is "Nothing happens.";
- an object can be examined only while it is held (a stray comma in alfred.pddl kills the other
  branch);
- `look` before the first `go to` sees "nothing", although the introduction has listed the room;
- `look` lists a thing "next to" you only after it was taken from one receptacle here and put down
  in another (TextWorld queries explicit negated facts, which exist only after a removal);
- the devices need not be open to heat or cool, and a used lamp never goes off again.

Commands are compared exactly, after stripping white space at both ends.
"""

from bisect import bisect_left
from typing import NamedTuple

from agentkd_envs.household.game import DEVICES, Game
from agentkd_envs.household.world import NOBODY, TRAIT_FOR, World, listing

NOTHING_HAPPENS = "Nothing happens."


class Response(NamedTuple):
    """What a command led to."""

    text: str
    valid: bool
    won: bool


class Command(NamedTuple):
    """A command that is possible now, with the numbers of what it acts on."""

    verb: str
    first: int
    second: int


class Engine:
    """One game in play."""

    __slots__ = (
        "_commands",
        "contents",
        "held",
        "lies_at",
        "opened",
        "place",
        "removed_from",
        "sliced",
        "toggled",
        "treated",
        "world",
    )

    def __init__(self, game: Game) -> None:
        self.world = world = World(game)
        self.place = world.place_number[game.start]
        self.held = NOBODY
        contents: list[list[int]] = [[] for _ in game.receptacles]
        for thing, receptacle in game.inside:
            contents[world.receptacle_number[receptacle]].append(world.thing_number[thing])
        self.contents = [tuple(sorted(set(numbers))) for numbers in contents]
        self.lies_at: set[tuple[int, int]] = {
            (world.thing_number[thing], world.place_number[place])
            for thing, place in game.lies_at
            if place in world.place_number
        }
        self.removed_from: set[tuple[int, int]] = set()
        self.opened: set[int] = set()
        self.toggled: set[int] = set()
        self.sliced: set[int] = set()
        self.treated: dict[str, set[int]] = {verb: set() for verb in DEVICES}
        self._begin(game)
        self._commands: dict[str, Command] | None = None

    def _begin(self, game: Game) -> None:
        things = self.world.thing_number
        state_sets = {
            "isclean": self.treated["clean"],
            "ishot": self.treated["heat"],
            "iscool": self.treated["cool"],
            "istoggled": self.toggled,
            "issliced": self.sliced,
        }
        for state, entity in game.states:
            if state == "opened":
                self.opened.add(self.world.receptacle_number[entity])
            elif state == "holds":
                self.held = things[entity]
            else:
                state_sets[state].add(things[entity])

    def fork(self) -> "Engine":
        """Return an independent copy in the same state; it shares the unchanging part."""
        copy = Engine.__new__(Engine)
        copy.world = self.world
        copy.place = self.place
        copy.held = self.held
        copy.contents = self.contents.copy()
        copy.lies_at = self.lies_at.copy()
        copy.removed_from = self.removed_from.copy()
        copy.opened = self.opened.copy()
        copy.toggled = self.toggled.copy()
        copy.sliced = self.sliced.copy()
        copy.treated = {verb: numbers.copy() for verb, numbers in self.treated.items()}
        copy._commands = self._commands
        return copy

    # What the agent reads.

    def introduction(self) -> str:
        """Return the first observation: the room and the task sentence."""
        world = self.world
        if world.standing_at[self.place]:
            room = self._look()
        else:
            seen = [
                f"a {name}"
                for number, name in enumerate(world.receptacle_names)
                if world.place_of[number] != NOBODY
            ]
            room = (
                "You are in the middle of a room. "
                f"Looking quickly around you, you see {listing(seen)}."
            )
        return f"-= Welcome to TextWorld, ALFRED! =-\n\n{room}\n\n{world.game.sentence}"

    def _look(self) -> str:
        world = self.world
        here = world.standing_at[self.place]
        if not here:
            return "You are in the middle of a room. Looking quickly around you, you see nothing."
        beside = [
            world.a_thing[thing]
            for thing, receptacle in sorted(self.removed_from)
            if receptacle in here and (thing, self.place) in self.lies_at
        ]
        names = listing([world.receptacle_names[number] for number in here])
        return f"You are facing the {names}. Next to it, you see {listing(beside)}."

    def _describe_receptacle(self, number: int) -> str:
        world = self.world
        name = world.receptacle_names[number]
        if world.is_openable[number] and number not in self.opened:
            return f"The {name} is closed."
        seen = listing([world.a_thing[thing] for thing in self.contents[number]])
        if world.is_openable[number]:
            return f"The {name} is open. In it, you see {seen}."
        return f"On the {name}, you see {seen}."

    def _describe_thing(self, number: int) -> str:
        world = self.world
        name, traits = world.thing_names[number], world.traits[number]
        if "isreceptacleobject" in traits:
            numbers = world.thing_number
            inner = sorted(
                numbers[small] for small, big in world.game.nested if numbers[big] == number
            )
            seen = listing([world.a_thing[small] for small in inner])
            return f"This is a normal {name}. In it, you see {seen}."
        clean, hot, cool = (number in self.treated[verb] for verb in ("clean", "heat", "cool"))
        sliced = number in self.sliced
        if clean and (hot or cool):
            adjective = f"{'hot' if hot else 'cool'} and clean"
        elif hot or cool:
            adjective = "hot" if hot else ("cool" if sliced else "cold")
        else:
            adjective = "clean" if clean else ""
        if adjective:
            return f"This is a {adjective} {'sliced ' if sliced else ''}{name}."
        if "toggleable" in traits and number in self.toggled:
            return f"This {name} is on."
        if sliced and "sliceable" in traits:
            return f"This is a sliced {name}."
        return f"There's nothing special about {name}."

    # What the agent can do.

    def admissible(self) -> list[str]:
        """Return all commands that are possible now, sorted."""
        commands = sorted(self._commands_here())
        middle = bisect_left(commands, "go to ")
        commands[middle:middle] = self.world.go_to_elsewhere(self.place)
        return commands

    def _commands_here(self) -> dict[str, Command]:
        """Return all possible commands except `go to`."""
        if self._commands is not None:
            return self._commands
        world, held = self.world, self.held
        commands = {
            "look": Command("look", 0, 0),
            "inventory": Command("inventory", 0, 0),
        }
        if world.dialect.help is not None:
            commands["help"] = Command("help", 0, 0)
        for receptacle in world.standing_at[self.place]:
            name = world.receptacle_names[receptacle]
            commands[f"examine {name}"] = Command("examine receptacle", receptacle, 0)
            is_open = True
            if world.is_openable[receptacle]:
                is_open = receptacle in self.opened
                verb = "close" if is_open else "open"
                commands[f"{verb} {name}"] = Command(verb, receptacle, 0)
            for thing in self.contents[receptacle]:
                traits = world.traits[thing]
                if is_open and held == NOBODY and "pickupable" in traits:
                    command = f"take {world.thing_names[thing]} from {name}"
                    commands[command] = Command("take", thing, receptacle)
                if "toggleable" in traits:
                    commands[f"use {world.thing_names[thing]}"] = Command("use", thing, 0)
            if held != NOBODY:
                self._add_commands_with_held(commands, receptacle, is_open)
        if held != NOBODY:
            name = world.thing_names[held]
            commands[f"examine {name}"] = Command("examine thing", held, 0)
            if world.kind_of_thing[held] in {"knife", "butterknife"}:
                for thing, place in self.lies_at:
                    if place == self.place and "sliceable" in world.traits[thing]:
                        command = f"slice {world.thing_names[thing]} with {name}"
                        commands[command] = Command("slice", thing, held)
        self._commands = commands
        return commands

    def _add_commands_with_held(
        self, commands: dict[str, Command], receptacle: int, is_open: bool
    ) -> None:
        world, held = self.world, self.held
        kind, name = world.kind_of_receptacle[receptacle], world.receptacle_names[receptacle]
        thing_name = world.thing_names[held]
        if is_open and (kind, world.kind_of_thing[held]) in world.can_contain:
            command = world.dialect.put_command.format(thing=thing_name, receptacle=name)
            commands[command] = Command("put", held, receptacle)
        for verb, device in DEVICES.items():
            if kind == device and TRAIT_FOR[verb] in world.traits[held]:
                commands[f"{verb} {thing_name} with {name}"] = Command(verb, held, receptacle)

    def step(self, command: str) -> Response:
        """Execute a command; one that is not possible now changes nothing."""
        command = command.strip()
        receptacle = self.world.go_to.get(command)
        if receptacle is not None and self.world.place_of[receptacle] != self.place:
            return Response(self._go_to(receptacle), True, self.won)
        possible = self._commands_here().get(command)
        if possible is None:
            return Response(NOTHING_HAPPENS, False, self.won)
        return Response(self._execute(possible), True, self.won)

    def _go_to(self, receptacle: int) -> str:
        world = self.world
        self.place = world.place_of[receptacle]
        self._commands = None
        if world.dialect.arrives_at_place:
            name = world.place_names[self.place]
        else:
            name = world.receptacle_names[receptacle]
        return f"You arrive at {name}. {self._describe_receptacle(receptacle)}"

    def _execute(self, command: Command) -> str:
        verb, first, second = command
        things, receptacles = self.world.thing_names, self.world.receptacle_names
        match verb:
            case "take":
                return self._take(first, second)
            case "put":
                return self._put(first, second)
            case "open":
                self.opened.add(first)
                self._commands = None
                return f"You open the {receptacles[first]}. {self._describe_receptacle(first)}"
            case "close":
                self.opened.discard(first)
                self._commands = None
                return f"You close the {receptacles[first]}."
            case "clean" | "heat" | "cool":
                self.treated[verb].add(first)
                if verb != "clean":
                    self.treated["cool" if verb == "heat" else "heat"].discard(first)
                return f"You {verb} the {things[first]} using the {receptacles[second]}."
            case "use":
                self.toggled.add(first)
                return f"You turn on the {things[first]}."
            case "slice":
                self.sliced.add(first)
                return f"You sliced the {things[first]} with the {things[second]}."
            case "examine receptacle":
                return self._describe_receptacle(first)
            case "examine thing":
                return self._describe_thing(first)
            case "look":
                return self._look()
            case "inventory":
                if self.held == NOBODY:
                    return "You are not carrying anything."
                return f"You are carrying: a {things[self.held]}."
            case _:
                return self.world.dialect.help or ""

    def _take(self, thing: int, receptacle: int) -> str:
        self.contents[receptacle] = tuple(n for n in self.contents[receptacle] if n != thing)
        self.lies_at.discard((thing, self.place))
        self.removed_from.add((thing, receptacle))
        self.held = thing
        self._commands = None
        world = self.world
        return (
            f"You pick up the {world.thing_names[thing]} "
            f"from the {world.receptacle_names[receptacle]}."
        )

    def _put(self, thing: int, receptacle: int) -> str:
        self.contents[receptacle] = tuple(sorted({*self.contents[receptacle], thing}))
        self.lies_at.add((thing, self.place))
        self.removed_from.discard((thing, receptacle))
        self.held = NOBODY
        self._commands = None
        world = self.world
        return world.dialect.put_feedback.format(
            thing=world.thing_names[thing], receptacle=world.receptacle_names[receptacle]
        )

    @property
    def won(self) -> bool:
        """Whether the goal holds in the current state."""
        world = self.world
        if world.lamps:
            return self.held in world.wanted and any(
                thing in world.lamps and thing in self.toggled
                for receptacle in world.standing_at[self.place]
                for thing in self.contents[receptacle]
            )
        if not world.targets:
            return False
        wanted = world.wanted
        if world.treatment:
            wanted = wanted & self.treated[world.treatment]
        enough = 2 if world.game.goal.kind == "pick_two_obj_and_place" else 1
        return any(
            len(wanted.intersection(self.contents[receptacle])) >= enough
            for receptacle in world.targets
        )
