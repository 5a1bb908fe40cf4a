"""ATIF, the Agent Trajectory Interchange Format of Harbor (its RFC 0001): one JSON document each.

Each step of ours is an agent step: its text is the `message`, its observation the single result
without a call id, usage and tokens are `metrics`. Messages of the prompt are system and user steps
before it; a demonstration's replies among them are agent steps marked `is_copied_context`, which
readers must not train. Whatever ATIF has no name for stands under `extra.agentkd`, of the document,
the agent or the step, so that reading back what was written gives the same trajectory.

Documents say `ATIF-v1.7`: nothing that 1.8 added (audio) occurs in them, and readers of both accept
it. Documents of other agents are read from 1.0 on (see `atif_foreign`), and the embedded ones of
sub-agents are trajectories of their own.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from agentkd.errors import RecordError
from agentkd.formats.atif_foreign import read_foreign
from agentkd.formats.base import Damage, Format, OnDamage
from agentkd.formats.conversation import TOOLS
from agentkd.formats.documents import FileNames
from agentkd.formats.items import read_items
from agentkd.trajectory import Trajectory

SCHEMA_VERSION = "ATIF-v1.7"
FOLDER = "trajectories"
OURS = "agentkd"

_READABLE = re.compile(r"ATIF-v1\.\d+")
_USAGE = ("prompt_tokens", "completion_tokens", "cached_tokens", "cost_usd")
_METRICS = {"token_ids": "completion_token_ids", "logprobs": "logprobs"}


def to_atif(trajectory: Trajectory) -> dict[str, Any]:
    """Return the document of one trajectory."""
    record: dict[str, Any] = json.loads(trajectory.to_json())
    steps = [_prompt_step(message) for message in record.pop("prompt")]
    steps += [_agent_step(step) for step in record.pop("steps")]
    policy = record.pop("policy")
    agent = {
        "name": policy.pop("name"),
        "version": trajectory.versions.get(OURS, "unknown"),
        **({"model_name": policy.pop("model")} if "model" in policy else {}),
        "extra": {OURS: policy},
    }
    tools = record.get("extra", {}).get(TOOLS)
    if _are_tools(tools):
        agent["tool_definitions"] = record["extra"].pop(TOOLS)
    usage = trajectory.usage
    totals: dict[str, Any] = {
        "total_prompt_tokens": usage.prompt_tokens,
        "total_completion_tokens": usage.completion_tokens,
        "total_cached_tokens": usage.cached_tokens,
        "total_steps": len(steps),
    }
    if usage.cost_usd is not None:
        totals["total_cost_usd"] = usage.cost_usd
    return {
        "schema_version": SCHEMA_VERSION,
        "trajectory_id": record.pop("id"),
        "agent": agent,
        "steps": [{"step_id": number, **step} for number, step in enumerate(steps, start=1)],
        "final_metrics": totals,
        "extra": {OURS: record},
    }


def _are_tools(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(tool, dict) for tool in value)


def _prompt_step(message: dict[str, Any]) -> dict[str, Any]:
    if message["role"] == "assistant":
        return {"source": "agent", "message": message["content"], "is_copied_context": True}
    return {"source": message["role"], "message": message["content"]}


def _agent_step(step: dict[str, Any]) -> dict[str, Any]:
    written: dict[str, Any] = {
        "source": "agent",
        "message": step.pop("text"),
        "observation": {"results": [{"content": step.pop("observation")}]},
    }
    if "reasoning" in step:
        written["reasoning_content"] = step.pop("reasoning")
    usage = step.get("usage", {})
    metrics = {name: usage.pop(name) for name in _USAGE if name in usage}
    metrics |= {theirs: step.pop(ours) for ours, theirs in _METRICS.items() if ours in step}
    if metrics:
        written["metrics"] = metrics
    elif step.get("author") in {"expert", "random"} and "reasoning_content" not in written:
        written["llm_call_count"] = 0
    if not usage:
        step.pop("usage", None)
    return {**written, "extra": {OURS: step}}


def from_atif(document: Mapping[str, Any], path: Path, number: int) -> Iterator[Trajectory]:
    """Read one document, and those of sub-agents in it; raises `RecordError`.

    `path` and `number` say where the document was found, for the record of a foreign one.
    """
    version = document.get("schema_version")
    if not isinstance(version, str) or not _READABLE.fullmatch(version):
        raise RecordError(f"not a document of ATIF version 1: schema_version is {version!r}")
    if not isinstance(document.get("steps"), list) or not isinstance(document.get("agent"), dict):
        raise RecordError("an ATIF document must have 'agent' and a list of 'steps'")
    own = (document.get("extra") or {}).get(OURS)
    try:
        trajectory = (
            _own(document, own) if isinstance(own, dict) else read_foreign(document, path, number)
        )
    except RecordError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise RecordError(f"not as ATIF has it: {type(error).__name__}: {error}") from error
    yield trajectory
    for inner in document.get("subagent_trajectories") or []:
        yield from from_atif(inner, path, number)


def _own(document: Mapping[str, Any], record: Mapping[str, Any]) -> Trajectory:
    agent = document["agent"]
    steps = document["steps"]
    policy = {**agent["extra"][OURS], "name": agent["name"]}
    if "model_name" in agent:
        policy["model"] = agent["model_name"]
    extra = dict(record.get("extra", {}))
    if "tool_definitions" in agent:
        extra[TOOLS] = agent["tool_definitions"]
    return Trajectory.from_json(
        json.dumps(
            {
                **record,
                "id": document["trajectory_id"],
                "policy": policy,
                "extra": extra,
                "prompt": [
                    {
                        "role": "assistant" if step["source"] == "agent" else step["source"],
                        "content": step["message"],
                    }
                    for step in steps
                    if not _is_own_step(step)
                ],
                "steps": [_own_step(step) for step in steps if _is_own_step(step)],
            }
        )
    )


def _is_own_step(step: Mapping[str, Any]) -> bool:
    return step["source"] == "agent" and not step.get("is_copied_context")


def _own_step(step: Mapping[str, Any]) -> dict[str, Any]:
    record = dict(step["extra"][OURS])
    metrics = step.get("metrics", {})
    usage = {name: metrics[name] for name in _USAGE if name in metrics}
    if usage:
        record["usage"] = {**record.get("usage", {}), **usage}
    record |= {ours: metrics[theirs] for ours, theirs in _METRICS.items() if theirs in metrics}
    if "reasoning_content" in step:
        record["reasoning"] = step["reasoning_content"]
    return {
        **record,
        "text": step["message"],
        "observation": step["observation"]["results"][0]["content"],
    }


def _write(trajectories: Iterable[Trajectory], folder: Path) -> None:
    (folder / FOLDER).mkdir()
    names = FileNames(".json")
    for trajectory in trajectories:
        path = folder / FOLDER / names.name_of(trajectory.id)
        text = json.dumps(to_atif(trajectory), indent=1, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")


def _read(path: Path, on_damage: OnDamage) -> Iterator[Trajectory]:
    for item in read_items(path, on_damage):
        try:
            yield from from_atif(item.value, path, item.number)
        except RecordError as error:
            on_damage(Damage(path, item.place, str(error)))


ATIF = Format(
    "atif",
    "Agent Trajectory Interchange Format, one JSON document per episode; loses nothing",
    _read,
    _write,
    f"{FOLDER}/*.json",
)
