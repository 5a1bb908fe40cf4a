"""The Hugging Face Hub's Session Trace Simple Format: one JSONL file per episode.

The first line is a header with `type`, `harness`, `id` and `name`; each further line is a message
(`role`, `content`, `reasoningContent`, `toolCalls`, `toolCallId`, `model`). The Hub shows such
files in its trace viewer. Source: https://huggingface.co/docs/hub/session-traces-format

The header may hold more, and readers ignore it: ours keeps environment, outcome and loss flags
under `agentkd`, so that reading a session back loses no flag. That the key of a tool result may be
left out, as the observations of a text world are, is our reading; they are written as messages of
the user. The last observation is written too, since it shows how the episode ended.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from agentkd import __version__
from agentkd.errors import RecordError
from agentkd.formats.base import Damage, Format, OnDamage
from agentkd.formats.chat import message_turn
from agentkd.formats.conversation import Origin, Turn, outcome_in, text_of, trajectory_of, turns_of
from agentkd.formats.documents import FileNames
from agentkd.formats.items import Item, read_items
from agentkd.formats.lines import write_lines
from agentkd.trajectory import Trajectory

HARNESS = "agentkd"
FOLDER = "sessions"


def _lines(trajectory: Trajectory) -> Iterator[dict[str, Any]]:
    task, outcome = trajectory.task, trajectory.outcome
    yield {
        "type": "session",
        "harness": HARNESS,
        "id": trajectory.id,
        "name": f"{task.env} {task.kind} ({trajectory.policy.name}: {outcome.ended_by})",
        "agentkd": {
            "version": __version__,
            "env": task.env,
            "task_id": task.id,
            "split": task.split,
            "policy": trajectory.policy.name,
            "model": trajectory.policy.model,
            "reward": outcome.reward,
            "success": outcome.success,
            "status": outcome.status,
            "ended_by": outcome.ended_by,
            "loss": [turn.loss for turn in turns_of(trajectory) if turn.role == "assistant"],
        },
    }
    turns = turns_of(trajectory)
    if trajectory.steps and trajectory.steps[-1].observation:
        turns.append(Turn("user", trajectory.steps[-1].observation))
    for turn in turns:
        message: dict[str, Any] = {"role": turn.role, "content": turn.text}
        if turn.reasoning is not None:
            message["reasoningContent"] = turn.reasoning
        if turn.role == "assistant" and trajectory.policy.model:
            message["model"] = trajectory.policy.model
        yield {"type": "message", "message": message}


def _write(trajectories: Iterable[Trajectory], folder: Path) -> None:
    (folder / FOLDER).mkdir()
    names = FileNames(".jsonl")
    for trajectory in trajectories:
        write_lines(_lines(trajectory), folder / FOLDER / names.name_of(trajectory.id))


def _read(path: Path, on_damage: OnDamage) -> Iterator[Trajectory]:
    place = "line 1"
    turns: list[Turn] = []
    header: dict[str, Any] = {}

    def spoil(damage: Damage) -> None:
        """A session without one of its lines is another one."""
        nonlocal place
        place = damage.place
        raise RecordError(damage.reason)

    try:
        for item in read_items(path, spoil):
            place = item.place
            if item.number == 0:
                header = _header(item)
            elif item.value.get("type") == "message":
                turns.append(message_turn(item.value.get("message")))
        trajectory = _trajectory(header, turns, path)
    except RecordError as error:
        on_damage(Damage(path, place, str(error)))
    else:
        yield trajectory


def _header(item: Item) -> dict[str, Any]:
    if item.value.get("type") != "session" or not isinstance(item.value.get("id"), str):
        raise RecordError("the first line must be a header of type 'session' with an 'id'")
    return dict(item.value)


def _trajectory(header: dict[str, Any], turns: list[Turn], path: Path) -> Trajectory:
    ours = header.get("agentkd")
    ours = ours if isinstance(ours, dict) else {}
    flags = ours.get("loss")
    own = [n for n, turn in enumerate(turns) if turn.role == "assistant"]
    if isinstance(flags, list) and len(flags) == len(own):
        for place, flag in zip(own, flags, strict=True):
            turns[place] = replace(turns[place], loss=flag)
    return trajectory_of(
        turns,
        Origin(
            format="sessions",
            path=path,
            number=0,
            id=header.get("id", path.stem),
            kind=str(ours.get("env") or ""),
            fields={"harness": header["harness"]} if "harness" in header else {},
            outcome=outcome_in(ours),
            policy=text_of(ours.get("policy")) or None,
            model=text_of(ours.get("model")) or None,
        ),
    )


SESSIONS = Format(
    "sessions",
    "The Hub's session traces, one JSONL file per episode",
    _read,
    _write,
    f"{FOLDER}/*.jsonl",
)
