"""Writes `data/rooms.json` from an installed `alfworld` wheel.

Run it as `python -m agentkd_envs.household.build_rooms`; the result is part of the package, so this
is not needed at run time. The wheel ships, under the MIT licence, what stands in 120 AI2-THOR
rooms: which receptacles with the pose from which an agent reaches them, and which object classes.
The poses of some receptacles (stove burners, toasters, towel holders, ...) are missing; for these
an instance with a made-up pose is added, so that the room has all its classes. Tables of what goes
where, what can be heated, and the goals come from the wheel as well; `STANDS_ON` is our own.
"""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from agentkd_envs.dice import Dice

KINDS = (
    "pick_and_place_simple",
    "look_at_obj_in_light",
    "pick_clean_then_place_in_recep",
    "pick_heat_then_place_in_recep",
    "pick_cool_then_place_in_recep",
    "pick_two_obj_and_place",
)
NOT_PLACED = {"PaintingHanger", "Bathtub", "Sink"}
STANDS_ON = {
    "DeskLamp": "Desk SideTable Dresser Shelf CoffeeTable TVStand DiningTable",
    "FloorLamp": "SideTable Sofa ArmChair Bed Desk CoffeeTable Dresser DiningTable TVStand",
    "HousePlant": "SideTable CounterTop Desk Dresser CoffeeTable DiningTable Shelf",
    "Television": "TVStand Dresser Desk SideTable",
}
MADE_UP_COUNT = {"StoveBurner": 4, "Drawer": 3, "Cabinet": 4, "Shelf": 3}


def coordinate(value: float) -> str:
    """Write a coordinate as AI2-THOR's ids do: `+00.65`."""
    return f"{'+' if value >= 0 else '-'}{abs(value):05.2f}"


def receptacles_of(number: int, layouts: Path, classes: set[str]) -> list[list[str]]:
    """Return `[id, class, place]` of every receptacle of a room, the made-up ones last."""
    poses = json.loads((layouts / f"FloorPlan{number}-openable.json").read_text())
    objects = set(json.loads((layouts / f"FloorPlan{number}-objects.json").read_text()))
    found: list[list[str]] = []
    for thor_id, (x, z, rotation, horizon) in sorted(poses.items()):
        parts = thor_id.split("|")
        # ALFWorld calls `Bathtub|...|SinkBasin`, which some rooms have, a bathtub basin.
        receptacle_class = f"{parts[0]}Basin" if len(parts) > 4 else parts[0]
        if receptacle_class in classes:
            place = (
                f"loc|{round(x / 0.25)}|{round(z / 0.25)}|{round(rotation / 90)}|{round(horizon)}"
            )
            found.append([thor_id, receptacle_class, place])
    dice = Dice(f"room-{number}")
    known_places = [place for _, _, place in found]
    for receptacle_class in sorted((objects & classes) - {row[1] for row in found} - NOT_PLACED):
        for _ in range(MADE_UP_COUNT.get(receptacle_class, 1)):
            place = known_places[0]
            while place in {row[2] for row in found}:
                _, x, z, rotation, _ = dice.pick(known_places).split("|")
                near = (int(x) + dice.between(-2, 2), int(z) + dice.between(-2, 2))
                place = f"loc|{near[0]}|{near[1]}|{rotation}|{dice.pick([30, 45, 60])}"
            spot = [coordinate(n * 0.25 + dice.spread(0, 1)) for n in near]
            middle = coordinate(dice.spread(0, 1.5))
            if receptacle_class.endswith("Basin"):
                base = receptacle_class.removesuffix("Basin")
                thor_id = f"{base}|{spot[0]}|{middle}|{spot[1]}|{receptacle_class}"
            else:
                thor_id = f"{receptacle_class}|{spot[0]}|{middle}|{spot[1]}"
            found.append([thor_id, receptacle_class, place])
    return found


def room_facts() -> dict[str, Any]:
    """Collect everything that the package ships."""
    constants = import_module("alfworld.gen.constants")
    goals = import_module("alfworld.gen.goal_library").gdict
    version = import_module("importlib.metadata").version("alfworld")
    layouts = Path(str(constants.__file__)).parent / "layouts"
    classes = constants.RECEPTACLES - constants.MOVABLE_RECEPTACLES_SET
    things = sorted(constants.OBJECTS_SET - classes)
    rooms = {}
    for room_type, numbers in constants.SCENE_TYPE.items():
        for number in numbers:
            objects = json.loads((layouts / f"FloorPlan{number}-objects.json").read_text())
            rooms[str(number)] = {
                "type": room_type,
                "receptacles": receptacles_of(number, layouts, classes),
                "things": sorted(set(objects) & set(things)),
            }
    holds = {
        name: sorted(constants.VAL_RECEPTACLE_OBJECTS.get(name, set()) & set(things))
        for name in sorted(classes)
    }
    return {
        "source": f"alfworld {version}",
        "receptacle_classes": sorted(classes),
        "thing_classes": things,
        "openable": sorted(set(constants.OPENABLE_CLASS_LIST) & classes),
        "movable_receptacles": sorted(constants.MOVABLE_RECEPTACLES_SET),
        "traits": {
            trait.lower(): sorted(names & set(things))
            for trait, names in sorted(constants.VAL_ACTION_OBJECTS.items())
        },
        "holds": holds,
        "stands_on": {name: sorted(hosts.split()) for name, hosts in STANDS_ON.items()},
        "goals": {
            kind: {
                "room_types": sorted(constants.GOALS_VALID[kind]),
                "sentences": goals[kind]["templates"],
                "pddl": " ".join(goals[kind]["pddl"].replace("#", "-").split()),
            }
            for kind in KINDS
        },
        "rooms": rooms,
    }


def write(facts: dict[str, Any], target: Path) -> None:
    """Write one table or room a line, so that a change can be reviewed."""
    lines = []
    for key, value in facts.items():
        if key in {"rooms", "holds", "goals"}:
            rows = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            lines.append(f'"{key}": {{\n{rows}\n}}')
        else:
            lines.append(f'"{key}": {json.dumps(value)}')
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    write(room_facts(), Path(__file__).parent / "data" / "rooms.json")
    sys.stdout.write("wrote data/rooms.json\n")
