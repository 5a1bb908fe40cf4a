"""Reads and writes `game.tw-pddl`, the file format of ALFWorld's text games.

Such a file is JSON with the PDDL domain, the text grammar (both the same for all games of a
generation, but for the task sentence) and the PDDL problem. Reading takes the facts from the
problem, and from the grammar what differs between games: the task sentence and the dialect. Writing
gives complete files that TextWorld's own engine loads.

Not supported: goals about sliced objects or movable receptacles, which ALFWorld leaves out as well.
"""

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from agentkd_envs.errors import TaskDataError
from agentkd_envs.household.dialect import DIALECTS, MOVE, Dialect
from agentkd_envs.household.game import TREATMENTS, Game, Goal, Receptacle, Thing
from agentkd_envs.household.rooms import DATA, facts

_ACTION = re.compile(r"^[ \t]*\(:action (\w+)", re.MULTILINE)
_KNOWN_ACTIONS = {
    *("look", "inventory", "examineReceptacle", "examineObject", "GotoLocation", "help"),
    *("OpenObject", "CloseObject", "PickupObject", "PutObject", "SliceObject"),
    *("CleanObject", "HeatObject", "CoolObject", "ToggleObject"),
}
_ATOM = re.compile(r"\(([a-z]+)((?:\s+[^\s()]+)+)\s*\)")
_SENTENCE = re.compile(r'"(Your task is to: (?:[^"\\]|\\.)*)"')
_PUT_TEMPLATE = re.compile(r'action PutObject \{\s*template :: "([^"]*)"')
_PUT_FEEDBACK = re.compile(r'"PutObject\.feedback": \[\s*\{\s*"rhs": "([^"]*)"')
_GO_TO_FEEDBACK = re.compile(r'"GotoLocation\.feedback": \[\s*\{\s*"rhs": "([^"]*)"')
_HELP_RULE = re.compile(r'"help\.feedback": \[\s*\{\s*"rhs": "((?:[^"\\]|\\.)*)"')
_HELP_INLINE = re.compile(r'action help \{\s*template :: "help";\s*feedback :: "([^#"][^"]*)"')

_TRAITS = (
    "cleanable",
    "coolable",
    "heatable",
    "isreceptacleobject",
    "pickupable",
    "sliceable",
    "toggleable",
)
_STATES = ("opened", "isclean", "ishot", "iscool", "istoggled", "issliced")
_GOAL_STATES = {"isclean": "clean", "ishot": "heat", "iscool": "cool"}

Facts = Mapping[str, list[tuple[str, ...]]]


def read_game(path: Path) -> Game:
    """Read a `game.tw-pddl` file; raises `TaskDataError` if it is damaged or of another domain."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskDataError(f"cannot read game file {path}: {error}") from error
    return parse_game(text, str(path))


def parse_game(text: str, source: str) -> Game:
    """Parse the content of a `game.tw-pddl` file; `source` names it in error messages."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise TaskDataError(f"{source} is not a game.tw-pddl file: not JSON ({error})") from error
    if not isinstance(data, dict):
        raise TaskDataError(f"{source} is not a game.tw-pddl file: not a JSON object")
    for key in ("pddl_domain", "grammar", "pddl_problem"):
        if not isinstance(data.get(key), str):
            raise TaskDataError(f"{source} is not a game.tw-pddl file: no text under '{key}'")
    sentence, dialect = _read_grammar(data["grammar"], data["pddl_domain"], source)
    return _read_problem(data["pddl_problem"].lower(), sentence, dialect, source)


def _read_grammar(grammar: str, domain: str, source: str) -> tuple[str, Dialect]:
    found = {
        "task sentence": _SENTENCE.search(grammar),
        "put command": _PUT_TEMPLATE.search(grammar),
        "put feedback": _PUT_FEEDBACK.search(grammar),
        "go-to feedback": _GO_TO_FEEDBACK.search(grammar),
    }
    texts = {}
    for what, match in found.items():
        if match is None:
            raise TaskDataError(f"{source} does not use the grammar of ALFWorld: it has no {what}")
        texts[what] = match.group(1)
    unknown = sorted({*_ACTION.findall(domain)} - _KNOWN_ACTIONS)
    names = {known.put_command: known.name for known in DIALECTS.values()}
    put_command = texts["put command"].replace("{o}", "{thing}").replace("{r}", "{receptacle}")
    if unknown or put_command not in names:
        what = f"the actions {', '.join(unknown)}" if unknown else f"'{texts['put command']}'"
        raise TaskDataError(
            f"{source} is of a version of ALFWorld that is not known here: it has {what}; "
            "known are the games of json_2.1.1 to json_2.1.3"
        )
    help_text = None
    if "(:action help" in domain:
        if rule := _HELP_RULE.search(grammar):
            help_text = str(json.loads(f'"{rule.group(1)}"')).lstrip()
        elif inline := _HELP_INLINE.search(grammar):
            help_text = inline.group(1).lstrip()
    dialect = Dialect(
        name=names[put_command],
        put_command=put_command,
        put_feedback=texts["put feedback"]
        .replace("{o.name}", "{thing}")
        .replace("{r.name}", "{receptacle}"),
        arrives_at_place="{lend.name}" in texts["go-to feedback"],
        help=help_text,
    )
    return str(json.loads(f'"{texts["task sentence"]}"')), dialect


def _read_problem(problem: str, sentence: str, dialect: Dialect, source: str) -> Game:
    init, goal_mark, goal = problem.partition("(:goal")
    _, init_mark, init = init.partition("(:init")
    if "(:domain alfred)" not in problem or not init_mark or not goal_mark:
        raise TaskDataError(
            f"{source} is not an ALFWorld game: its PDDL problem is not of that domain"
        )
    atoms: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
    for predicate, arguments in _ATOM.findall(init):
        atoms[predicate].append(tuple(arguments.split()))
    try:
        return _assemble(atoms, _read_goal(goal, source), sentence, dialect, source)
    except (KeyError, IndexError, ValueError) as error:
        if isinstance(error, TaskDataError):
            raise
        raise TaskDataError(f"{source} has a damaged PDDL problem: {error!r}") from error


def _assemble(atoms: Facts, goal: Goal, sentence: str, dialect: Dialect, source: str) -> Game:
    agents = atoms["atlocation"]
    if not agents or not atoms["receptacletype"] or not atoms["objecttype"]:
        raise TaskDataError(f"{source} has no agent, no receptacles or no objects")
    kinds = {entity: name.removesuffix("type") for entity, name in atoms["receptacletype"]}
    thing_kinds = {entity: name.removesuffix("type") for entity, name in atoms["objecttype"]}
    place_of = {entity: place for entity, place in atoms["receptacleatlocation"]}
    openable = {row[0] for row in atoms["openable"]}
    having = {trait: {row[0] for row in atoms[trait]} for trait in _TRAITS}
    states = [(state, row[0]) for state in _STATES for row in atoms[state]]
    states += [("holds", row[1]) for row in atoms["holds"]]
    receptacles = tuple(
        Receptacle(entity, kinds[entity], place_of.get(entity, ""), entity in openable)
        for entity in sorted(kinds)
    )
    things = tuple(
        Thing(entity, thing_kinds[entity], tuple(t for t in _TRAITS if entity in having[t]))
        for entity in sorted(thing_kinds)
    )
    known = {*kinds, *thing_kinds}
    mentioned = {entity for pair in atoms["inreceptacle"] for entity in pair}
    mentioned |= {entity for pair in atoms["inreceptacleobject"] for entity in pair}
    mentioned |= {row[0] for row in atoms["objectatlocation"]} | {entity for _, entity in states}
    for entity in sorted(mentioned):
        if entity not in known:
            raise TaskDataError(f"{source} has a damaged PDDL problem: {entity} has no type")
    return Game(
        sentence=sentence,
        goal=goal,
        dialect=dialect,
        start=agents[0][1],
        receptacles=receptacles,
        things=things,
        inside=tuple(sorted((pair[0], pair[1]) for pair in atoms["inreceptacle"])),
        lies_at=tuple(sorted((pair[0], pair[1]) for pair in atoms["objectatlocation"])),
        can_contain=frozenset(
            (holder.removesuffix("type"), held.removesuffix("type"))
            for holder, held in atoms["cancontain"]
        ),
        nested=tuple(sorted((pair[0], pair[1]) for pair in atoms["inreceptacleobject"])),
        states=tuple(sorted(states)),
        further_ids=tuple(
            sorted(
                {row[1] for row in atoms["objectatlocation"]}
                - set(place_of.values())
                - {agents[0][1]}
            )
        ),
    )


def _read_goal(goal: str, source: str) -> Goal:
    if "inreceptacleobject" in goal or "issliced" in goal:
        raise TaskDataError(
            f"{source} asks for a sliced object or a movable receptacle; "
            "ALFWorld leaves such games out, and so does this engine"
        )
    types = [name.removesuffix("type") for name in re.findall(r"\(objecttype \?\w+ (\w+)\)", goal)]
    holders = [
        name.removesuffix("type") for name in re.findall(r"\(receptacletype \?\w+ (\w+)\)", goal)
    ]
    if "istoggled" in goal and len(types) == 2:
        return Goal("look_at_obj_in_light", types[1], lamp=types[0])
    if not types or not holders:
        raise TaskDataError(f"{source} has a goal of a form that ALFWorld does not use")
    if len(types) == 2:
        return Goal("pick_two_obj_and_place", types[0], holders[0])
    for state, verb in _GOAL_STATES.items():
        if f"({state} " in goal:
            kind = next(kind for kind, other in TREATMENTS.items() if other == verb)
            return Goal(kind, types[0], holders[0])
    return Goal("pick_and_place_simple", types[0], holders[0])


@cache
def _logic(dialect: str) -> tuple[str, str]:
    """Return domain and grammar of a dialect; `put` is `move` with the authors' patch undone."""
    domain = (DATA / "alfred.pddl").read_text()
    grammar = (DATA / "alfred.twl2").read_text()
    if dialect == MOVE.name:
        return domain, grammar
    before, help_action = domain.split("(:action help", 1)
    domain = before + help_action.split("\n)\n", 1)[1]
    grammar = grammar[: grammar.index("action help {")]
    for new, old in (
        ("You arrive at {r.name}.", "You arrive at {lend.name}."),
        ("move {o} to {r}", "put {o} in/on {r}"),
        ("You move the {o.name} to the {r.name}.", "You put the {o.name} in/on the {r.name}."),
    ):
        grammar = grammar.replace(new, old)
    return domain, grammar


def game_file(game: Game, name: str) -> dict[str, Any]:
    """Return the content of a `game.tw-pddl` file that TextWorld can play, ready for JSON."""
    domain, grammar = _logic(game.dialect.name)
    sentence = json.dumps(game.sentence)[1:-1]
    return {
        "pddl_domain": domain,
        "grammar": grammar.replace("Your task is to: UNKNOWN GOAL.", sentence),
        "pddl_problem": problem_text(game, name),
        "solvable": True,
        "walkthrough": None,
    }


def problem_text(game: Game, name: str) -> str:
    """Return the PDDL problem of a game."""
    shipped = facts()
    places = {r.place for r in game.receptacles if r.place} | {place for _, place in game.lies_at}
    objects = ["agent1 - agent"]
    objects += [f"{other} - object" for other in shipped.thing_names]
    objects += [f"{other}Type - otype" for other in shipped.thing_names]
    objects += [f"{other}Type - rtype" for other in shipped.receptacle_names]
    objects += [f"{thing.id} - object" for thing in game.things]
    objects += [f"{receptacle.id} - receptacle" for receptacle in game.receptacles]
    objects += [f"{place} - location" for place in sorted(places | {game.start})]
    init = [f"(atLocation agent1 {game.start})"]
    for receptacle in game.receptacles:
        init.append(f"(receptacleType {receptacle.id} {receptacle.kind}Type)")
        if receptacle.place:
            init.append(f"(receptacleAtLocation {receptacle.id} {receptacle.place})")
        if receptacle.is_openable:
            init.append(f"(openable {receptacle.id})")
    for thing in game.things:
        init.append(f"(objectType {thing.id} {thing.kind}Type)")
        init += [f"({trait} {thing.id})" for trait in thing.traits]
    init += [f"(canContain {a}Type {b}Type)" for a, b in sorted(game.can_contain)]
    init += [f"(inReceptacle {thing} {holder})" for thing, holder in game.inside]
    init += [f"(objectAtLocation {thing} {place})" for thing, place in game.lies_at]
    init += [f"(inReceptacleObject {inner} {outer})" for inner, outer in game.nested]
    for state, entity in game.states:
        if state == "holds":
            init += [f"(holds agent1 {entity})", "(holdsAny agent1)"]
        else:
            init.append(f"({state} {entity})")
    goal = shipped.kinds[game.goal.kind].pddl.format(
        obj=game.goal.thing, recep=game.goal.receptacle, toggle=game.goal.lamp
    )
    return "\n".join(
        [
            f"(define (problem plan_{name})",
            "(:domain alfred)",
            "(:objects",
            *objects,
            ")",
            "(:init",
            *init,
            ")",
            goal,
            "",
        ]
    )
