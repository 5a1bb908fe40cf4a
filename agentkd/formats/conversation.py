"""Between trajectories and conversations: what all formats of messages share.

Writing: a trajectory is a list of turns, and each turn of the policy says how much loss it carries.
Reading: every turn of the policy becomes a step and what comes before the first of them is the
prompt, so that turns and flags survive the way there and back. An imported trajectory claims
nothing that its source does not say: without a recorded reward its outcome is `unknown`.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from agentkd_envs import Task

from agentkd.errors import RecordError
from agentkd.trajectory import EndedBy, Message, Outcome, PolicyInfo, Role, Status, Step, Trajectory

TOOLS = "tools"
"""Key of `Trajectory.extra` for the tools that a policy was offered, defined as OpenAI does."""

IMPORTED_SPLIT = "imported"

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "tool": "user",
    "observation": "user",
    "function_response": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "function_call": "assistant",
}
"""What the formats call a speaker, and what we call it."""

_ACTION = re.compile(r"^[ \t>*_]*action[ \t*_]*:[ \t*_]*", re.IGNORECASE | re.MULTILINE)
_THOUGHT = re.compile(r"^[ \t>*_]*thought[ \t*_]*:[ \t*_]*", re.IGNORECASE)


_STATUSES: dict[str, Status] = {name: name for name in get_args(Status)}
_ENDINGS: dict[str, EndedBy] = {name: name for name in get_args(EndedBy)}

UNKNOWN = Outcome(0.0, False, "unknown", "unknown")


@dataclass(frozen=True)
class Turn:
    """One message of a conversation."""

    role: Role
    text: str
    loss: bool | float | None = None
    """Loss of a turn of the policy; None for turns that it only read."""
    reasoning: str | None = None


@dataclass(frozen=True)
class Origin:
    """Where an imported conversation comes from, and what its source knows about it."""

    format: str
    path: Path
    number: int
    """Position within the file, from 0."""
    id: str
    """What the source calls it."""
    kind: str
    """The world that it played in, as far as the source tells."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """What else the source says about the task, JSON-able."""
    outcome: Outcome = UNKNOWN
    tools: Sequence[Mapping[str, Any]] = ()
    policy: str | None = None
    model: str | None = None


def turns_of(trajectory: Trajectory) -> list[Turn]:
    """Return the whole conversation. The last observation is left out: the policy never saw it."""
    turns = [
        Turn(message.role, message.content, False if message.role == "assistant" else None)
        for message in trajectory.prompt
    ]
    for number, step in enumerate(trajectory.steps):
        turns.append(Turn("assistant", step.text, step.loss, step.reasoning))
        if number + 1 < len(trajectory.steps):
            turns.append(Turn("user", step.observation))
    return turns


def trajectory_of(turns: Sequence[Turn], origin: Origin) -> Trajectory:
    """Make a trajectory of a foreign conversation.

    What the environment says in several messages, as the results of several tool calls, is one
    observation, a line for each. Raises `RecordError` if no turn is the policy's, or if it speaks
    twice in a row.
    """
    first = next((n for n, turn in enumerate(turns) if turn.role == "assistant"), None)
    if first is None:
        raise RecordError("holds no message of the policy")
    steps: list[Step] = []
    heard: list[str] = []
    for number, turn in reversed(list(enumerate(turns[first:], start=first))):
        if turn.role != "assistant":
            heard.insert(0, turn.text)
            continue
        if not heard and steps:
            raise RecordError(f"the policy speaks twice in a row, in message {number + 2}")
        steps.insert(0, _step(turn, "\n".join(heard)))
        heard = []
    payload: dict[str, Any] = {"format": origin.format, "id": origin.id}
    if origin.fields:
        payload["fields"] = dict(origin.fields)
    place = json.dumps([origin.format, origin.path.name, origin.number, origin.id])
    return Trajectory(
        id=hashlib.sha256(place.encode()).hexdigest()[:32],
        task=Task(
            f"{origin.format}-{origin.kind}" if origin.kind else origin.format,
            IMPORTED_SPLIT,
            origin.number,
            origin.kind or origin.format,
            payload,
        ),
        policy=PolicyInfo("teacher", origin.policy or origin.format, origin.model),
        prompt=tuple(Message(turn.role, turn.text) for turn in turns[:first]),
        steps=tuple(steps),
        outcome=origin.outcome,
        format=origin.format,
        extra={
            "imported": {"file": origin.path.name, "number": origin.number},
            **({TOOLS: [dict(tool) for tool in origin.tools]} if origin.tools else {}),
        },
    )


def outcome_in(record: Mapping[str, Any]) -> Outcome:
    """Return the outcome that a source recorded, or an unknown one; raises `RecordError`.

    `status` and `ended_by` are those of our own exports. Otherwise, without a word on success, a
    reward on the scale from 0 to 1 means success from 1 on; a reward on another scale is kept, and
    says nothing about success.
    """
    reward = number_of(record.get("reward"), "reward")
    success = flag_of(record.get("success"), "success")
    status = _STATUSES.get(str(record.get("status")))
    ended_by = _ENDINGS.get(str(record.get("ended_by")))
    if reward is None:
        return UNKNOWN
    if success is not None and status and ended_by:
        return Outcome(reward, success, status, ended_by)
    if success is None and not 0 <= reward <= 1:
        return replace(UNKNOWN, reward=reward)
    is_solved = reward >= 1 if success is None else success
    return Outcome(reward, is_solved, "ok", "success" if is_solved else "failure")


def role_of(name: Any) -> Role:
    """Translate a speaker's name; raises `RecordError`."""
    if name not in ROLES:
        raise RecordError(f"unknown speaker {name!r}; there is: {', '.join(ROLES)}")
    return ROLES[name]


def text_of(value: Any) -> str:
    """Return the text of a message, given as a string or as text parts; raises `RecordError`."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list):
        parts = [part.get("text") if isinstance(part, dict) else None for part in value]
        texts = [part for part in parts if isinstance(part, str)]
        if len(texts) == len(parts):
            return "".join(texts)
        raise RecordError("holds something other than text (an image, audio), which is not read")
    raise RecordError(f"the text of a message must be a string, not {value!r}")


def loss_of(value: Any) -> bool | float:
    """Return a loss flag or weight; a missing one means that the turn is trained.

    Raises `RecordError` for anything but true, false, null, or a number that is not negative.
    """
    if value is None:
        return True
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value >= 0:
        return bool(value) if value in (0, 1) else float(value)
    raise RecordError(f"a loss flag must be true, false, null or a weight, not {value!r}")


def number_of(value: Any, name: str) -> float | None:
    """Return a recorded number, or None; raises `RecordError` if it is neither."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return None if value is None else float(value)
    raise RecordError(f"'{name}' must be a number, not {value!r}")


def flag_of(value: Any, name: str) -> bool | None:
    """Return a recorded yes or no, or None; raises `RecordError` if it is neither.

    0 and 1 are a no and a yes.
    """
    if value is None or value in (0, 1):
        return None if value is None else bool(value)
    raise RecordError(f"'{name}' must be true or false, not {value!r}")


def with_calls(text: str, calls: Iterable[tuple[str, Any]]) -> str:
    """Append tool calls to a text, one `<tool_call>` element of JSON each.

    A record keeps the words of a policy. Where a source keeps only parsed calls, this is how
    templates of the Hermes and Qwen families spell them.
    """
    written = [
        "<tool_call>\n"
        + json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
        + "\n</tool_call>"
        for name, arguments in calls
    ]
    return "\n".join(([text] if text else []) + written)


def _step(turn: Turn, observation: str) -> Step:
    """Make a step of a turn; a reply of the form 'Thought: ... Action: ...' is taken apart."""
    action = _ACTION.search(turn.text)
    thought = turn.text[: action.start()] if action else ""
    return Step(
        text=turn.text,
        observation=observation,
        action=(turn.text[action.end() :].strip() or None) if action else None,
        thought=_THOUGHT.sub("", thought.strip(), count=1).strip(),
        loss=loss_of(turn.loss),
        reasoning=turn.reasoning,
    )
