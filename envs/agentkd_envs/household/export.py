"""Writes generated games in ALFWorld's directory layout, for the real engine to play.

`ROOT/SPLIT/KIND-OBJECT-None-TARGET-ROOM/trial_T.../{game.tw-pddl,traj_data.json,initial_state.pddl}`;
ALFWorld's own `AlfredTWEnv` walks it. These are generated games, never "ALFWorld's" own.
"""

import hashlib
import json
from pathlib import Path

from agentkd_envs.household.generator import Plan, build_game
from agentkd_envs.household.pddl import game_file


def write_game(plan: Plan, root: Path) -> Path:
    """Write one game below `root` and return the path of its `game.tw-pddl`."""
    key = json.dumps([plan.preset, plan.room, plan.kind, plan.seed])
    digest = int(hashlib.sha256(key.encode()).hexdigest(), 16)
    trial = (
        f"trial_T2026{digest % 10**4:04}_{digest // 10**4 % 10**6:06}_{digest // 10**10 % 10**6:06}"
    )
    target = plan.receptacle or plan.lamp
    folder = root / f"{plan.kind}-{plan.thing}-None-{target}-{plan.room}" / trial
    folder.mkdir(parents=True, exist_ok=True)
    data = game_file(build_game(plan), trial)
    path = folder / "game.tw-pddl"
    path.write_text(json.dumps(data))
    (folder / "initial_state.pddl").write_text(data["pddl_problem"])
    (folder / "traj_data.json").write_text(json.dumps(_trajectory_data(plan, trial)))
    return path


def _trajectory_data(plan: Plan, trial: str) -> dict[str, object]:
    return {
        "task_id": trial,
        "task_type": plan.kind,
        "pddl_params": {
            "object_target": plan.thing,
            "parent_target": plan.receptacle,
            "toggle_target": plan.lamp,
            "mrecep_target": "",
            "object_sliced": False,
        },
        "scene": {"scene_num": plan.room, "floor_plan": f"FloorPlan{plan.room}"},
        "turk_annotations": {"anns": []},
    }
