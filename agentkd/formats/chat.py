"""Chat messages: how TRL and transformers, and OpenAI's fine-tuning, take conversations.

`messages` is parquet for `datasets.load_dataset` and TRL's trainers: one row per episode with
`messages` (role, content, and `loss`: null, or the weight of the policy's own words), `tools`, and
what the episode was. TRL itself trains all or none of the turns of an assistant; the `loss` column
is for trainers that look at it, agentkd's own among them.

`openai` is JSONL for OpenAI's fine-tuning and its imitators: `messages`, `tools` if there are any,
and `weight` 0 or 1 on each turn of the assistant; a fractional weight is written as 1.

Both are read back; tool calls that a file keeps apart from the text are written into it (see
`with_calls`).
"""

import json
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
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
    with_calls,
)
from agentkd.formats.items import read_items
from agentkd.formats.lines import write_lines
from agentkd.trajectory import Trajectory

ROWS_PER_GROUP = 1_000


def message_turn(entry: Any) -> Turn:
    """Read one chat message with its `loss` or `weight`; raises `RecordError`."""
    if not isinstance(entry, dict) or "role" not in entry:
        raise RecordError("a message must be an object with a 'role'")
    calls = entry.get("tool_calls") or entry.get("toolCalls") or []
    if not isinstance(calls, list):
        raise RecordError("'tool_calls' must be a list")
    flag = entry.get("loss")
    reasoning = entry.get("reasoning_content") or entry.get("reasoningContent")
    return Turn(
        role_of(entry["role"]),
        with_calls(text_of(entry.get("content")), map(_call, calls)),
        entry.get("weight") if flag is None else flag,
        text_of(reasoning) if reasoning is not None else None,
    )


def _call(call: Any) -> tuple[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise RecordError("a tool call must have a function with a name")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError as error:
            raise RecordError(f"the arguments of a tool call are not JSON: {error}") from error
    return function["name"], arguments if arguments is not None else {}


def _to_openai(trajectory: Trajectory) -> dict[str, Any] | None:
    if not trajectory.steps:
        return None
    messages: list[dict[str, Any]] = []
    for turn in turns_of(trajectory):
        messages.append({"role": turn.role, "content": turn.text})
        if turn.role == "assistant":
            messages[-1]["weight"] = int(bool(turn.loss))
    tools = trajectory.extra.get(TOOLS)
    return {"messages": messages, **({"tools": tools} if tools else {})}


def _write_openai(trajectories: Iterable[Trajectory], folder: Path) -> None:
    write_lines(map(_to_openai, trajectories), folder / "train.jsonl")


def _to_row(trajectory: Trajectory) -> dict[str, Any]:
    tools = trajectory.extra.get(TOOLS)
    return {
        "messages": [
            {
                "role": turn.role,
                "content": turn.text,
                "loss": None if turn.loss is None else float(turn.loss),
            }
            for turn in turns_of(trajectory)
        ],
        "tools": json.dumps(tools, ensure_ascii=False) if tools else None,
        "trajectory_id": trajectory.id,
        "task_id": trajectory.task.id,
        "env": trajectory.task.env,
        "split": trajectory.task.split,
        "kind": trajectory.task.kind,
        "policy": trajectory.policy.name,
        "model": trajectory.policy.model,
        "reward": trajectory.outcome.reward,
        "success": trajectory.outcome.success,
        "status": trajectory.outcome.status,
        "ended_by": trajectory.outcome.ended_by,
    }


def _write_messages(trajectories: Iterable[Trajectory], folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Features, Json, List, Value

    text = Value("string")
    names = ("trajectory_id", "task_id", "env", "split", "kind", "policy", "model")
    schema = Features(
        {
            "messages": List({"role": text, "content": text, "loss": Value("float64")}),
            "tools": Json(),
            **dict.fromkeys(names, text),
            "reward": Value("float64"),
            "success": Value("bool"),
            "status": text,
            "ended_by": text,
        }
    ).arrow_schema
    rows = (_to_row(trajectory) for trajectory in trajectories if trajectory.steps)
    with pq.ParquetWriter(folder / "train.parquet", schema) as writer:
        while group := list(islice(rows, ROWS_PER_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema))


def _read(name: str, path: Path, on_damage: OnDamage) -> Iterator[Trajectory]:
    for item in read_items(path, on_damage):
        value = item.value
        try:
            if not isinstance(value.get("messages"), list):
                raise RecordError("'messages' must be a list of messages")
            tools = value.get(TOOLS) or []
            tools = json.loads(tools) if isinstance(tools, str) else tools
            yield trajectory_of(
                [message_turn(entry) for entry in value["messages"]],
                Origin(
                    format=name,
                    path=path,
                    number=item.number,
                    id=str(value.get("trajectory_id") or f"{path.name}#{item.number}"),
                    kind=str(value.get("env") or ""),
                    outcome=outcome_in(value),
                    tools=tools,
                    policy=text_of(value.get("policy")) or None,
                    model=text_of(value.get("model")) or None,
                ),
            )
        except (RecordError, json.JSONDecodeError) as error:
            on_damage(Damage(path, item.place, str(error)))


MESSAGES = Format(
    "messages",
    "TRL and transformers: messages and tools with loss weights, parquet",
    partial(_read, "messages"),
    _write_messages,
    "train.parquet",
    is_training_data=True,
)
OPENAI = Format(
    "openai",
    "OpenAI fine-tuning: messages with weight 0 or 1, JSONL",
    partial(_read, "openai"),
    _write_openai,
    "train.jsonl",
    is_training_data=True,
)
