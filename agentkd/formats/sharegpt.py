"""ShareGPT: `{"conversations": [{"from", "value", "loss"}, ...]}`, the form of many open data sets.

Three published sets of agent trajectories are dialects of it, and read here too:

- `agenttraj`: AgentTraj-L of AgentGym (Xi et al., 2406.04151): JSON arrays, one file per
  environment, `item_id`, a `loss` flag on each message. The files that its evolution loop writes
  have a `reward` and a `success` besides.
- `agentinstruct`: AgentInstruct of AgentTuning (Zeng et al., 2310.12823): JSON or parquet, an `id`
  such as `alfworld_12` that names the environment, `loss` flags.
- `eto`: the trajectories of ETO (Song et al., 2403.02502): JSON arrays, one file per environment,
  no flags, `reward` for WebShop, `game_file` for ALFWorld.

`loss` is true, false, or null for what the policy only read. Trainers that name the flag otherwise
are told so (axolotl: `message_field_training: loss`); when reading, `weight` and `train` are taken
too. Written files keep tools in `tools`; a `system` field is read as a system message.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from agentkd.errors import RecordError
from agentkd.formats.base import Damage, Format, OnDamage
from agentkd.formats.conversation import (
    TOOLS,
    Origin,
    Turn,
    outcome_in,
    role_of,
    text_of,
    trajectory_of,
    turns_of,
)
from agentkd.formats.items import Item, read_items
from agentkd.formats.lines import write_lines
from agentkd.trajectory import Trajectory

_FLAGS = ("loss", "weight", "train")
_ID_WITH_KIND = re.compile(r"([A-Za-z]\w*?)_\d+")
_NOT_FIELDS = {"conversations", "id", "item_id", "system", TOOLS, "reward", "success"}


def _to_item(trajectory: Trajectory) -> dict[str, Any] | None:
    if not trajectory.steps:
        return None
    item: dict[str, Any] = {
        "id": trajectory.id,
        "conversations": [
            {
                "from": {"assistant": "gpt", "user": "human"}.get(turn.role, turn.role),
                "value": turn.text,
                "loss": turn.loss,
            }
            for turn in turns_of(trajectory)
        ],
    }
    if TOOLS in trajectory.extra:
        item[TOOLS] = json.dumps(trajectory.extra[TOOLS], ensure_ascii=False)
    return item


def _write(trajectories: Iterable[Trajectory], folder: Path) -> None:
    write_lines(map(_to_item, trajectories), folder / "train.jsonl")


def _kind_from_id(item: Item, path: Path) -> str:
    found = _ID_WITH_KIND.fullmatch(_id_of(item, path))
    return found.group(1) if found else _kind_from_file(item, path)


def _kind_from_file(item: Item, path: Path) -> str:
    """`alfworld_train.json`, `webshop_sft.json`, `os-00000-of-00001-6b97.parquet`."""
    return re.sub(r"(_train|_test|_sft|-\d+-of-.*)$", "", path.stem)


def _no_kind(item: Item, path: Path) -> str:
    return ""


def _id_of(item: Item, path: Path) -> str:
    for key in ("item_id", "id"):
        if item.value.get(key) is not None:
            return str(item.value[key])
    return f"{path.name}#{item.number}"


def _turns(value: Any) -> list[Turn]:
    if not isinstance(value, list):
        raise RecordError("'conversations' must be a list of messages")
    turns = []
    for entry in value:
        if not isinstance(entry, dict) or "from" not in entry or "value" not in entry:
            raise RecordError("a message must have 'from' and 'value'")
        flag = next((entry[key] for key in _FLAGS if entry.get(key) is not None), None)
        turns.append(Turn(role_of(entry["from"]), text_of(entry["value"]), flag))
    return turns


def _tools(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except ValueError as error:
            raise RecordError(f"'tools' is not JSON: {error}") from error
    if not value:
        return []
    if not isinstance(value, list) or not all(isinstance(tool, dict) for tool in value):
        raise RecordError("'tools' must be a list of definitions")
    return value


def _read(
    name: str, kind_of: Callable[[Item, Path], str], path: Path, on_damage: OnDamage
) -> Iterator[Trajectory]:
    for item in read_items(path, on_damage):
        try:
            turns = _turns(item.value.get("conversations"))
            if item.value.get("system"):
                turns.insert(0, Turn("system", text_of(item.value["system"])))
            yield trajectory_of(
                turns,
                Origin(
                    format=name,
                    path=path,
                    number=item.number,
                    id=_id_of(item, path),
                    kind=kind_of(item, path),
                    fields={
                        key: value
                        for key, value in item.value.items()
                        if key not in _NOT_FIELDS and value is not None
                    },
                    outcome=outcome_in(item.value),
                    tools=_tools(item.value.get(TOOLS)),
                ),
            )
        except RecordError as error:
            on_damage(Damage(path, item.place, str(error)))


SHAREGPT = Format(
    "sharegpt",
    "ShareGPT conversations with loss flags, JSONL",
    partial(_read, "sharegpt", _no_kind),
    _write,
    "train.jsonl",
    is_training_data=True,
)
AGENTTRAJ = Format(
    "agenttraj", "AgentTraj-L of AgentGym", partial(_read, "agenttraj", _kind_from_id)
)
AGENTINSTRUCT = Format(
    "agentinstruct", "AgentInstruct of AgentTuning", partial(_read, "agentinstruct", _kind_from_id)
)
ETO = Format("eto", "Expert trajectories of ETO", partial(_read, "eto", _kind_from_file))
