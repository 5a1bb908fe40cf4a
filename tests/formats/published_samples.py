"""Small files in the form of the published data sets, with texts of our own."""

import json
from pathlib import Path
from typing import Any

RULES = "You act in a house. Answer with a thought and an action."
TASK = "You see a desk 1 and a shelf 1.\nYour task is to: put a mug on the desk."


def turn(speaker: str, value: str, loss: bool | None = None) -> dict[str, Any]:
    return {"from": speaker, "loss": loss, "value": value}


def flagged() -> list[dict[str, Any]]:
    """A conversation whose acknowledgement and whose mistake carry no loss."""
    return [
        turn("human", RULES),
        turn("gpt", "OK. I will.", False),
        turn("human", TASK),
        turn("gpt", "Thought:\nthe desk is near\n\nAction:\ngo to desk 1", False),
        turn("human", "On the desk 1, you see nothing."),
        turn("gpt", "THOUGHT: so it is on the shelf\n ACTION: go to shelf 1", True),
        turn("human", "On the shelf 1, you see a mug 1."),
        turn("gpt", "ACTION: take mug 1 from shelf 1", True),
    ]


def unflagged() -> list[dict[str, Any]]:
    return [{"from": one["from"], "value": one["value"]} for one in flagged()]


def agenttraj(folder: Path) -> Path:
    path = folder / "alfworld_train.json"
    items = [
        {"conversations": flagged(), "item_id": "pick_and_place-Mug-None-Desk-301_trial_T2019_0"},
        {"conversations": flagged(), "item_id": "alfworld_7"},
    ]
    path.write_text(json.dumps(items, indent=4))
    return path


def agentinstruct(folder: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / "os-00000-of-00001-971539c34fcc7500.parquet"
    table = pa.Table.from_pylist([{"conversations": flagged(), "id": f"os_{n}"} for n in range(3)])
    pq.write_table(table, path)
    return path


def eto(folder: Path) -> Path:
    path = folder / "webshop_sft.json"
    items = [
        {"id": 3, "reward": 1.0, "source": "human", "conversations": unflagged()},
        {"id": 4, "reward": 0.75, "source": "human", "conversations": unflagged()},
        {"id": "a/b", "game_file": "json_2.1.1/train/x/game", "conversations": unflagged()},
    ]
    path.write_text(json.dumps(items))
    return path
