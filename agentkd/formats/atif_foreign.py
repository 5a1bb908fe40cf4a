"""ATIF documents that another agent wrote.

Our record holds conversations of text, so what ATIF keeps apart is put together: parsed tool calls
go into the text of the step (see `with_calls`), the results of a step are one observation, and what
a user says between two steps joins it. A step marked `is_copied_context` carries no loss. Images
and audio are not read. ATIF has no place for the outcome of an episode, so it is unknown.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from agentkd.formats.conversation import (
    Origin,
    Turn,
    number_of,
    text_of,
    trajectory_of,
    with_calls,
)
from agentkd.trajectory import Step, Trajectory, Usage


def read_foreign(document: Mapping[str, Any], path: Path, number: int) -> Trajectory:
    """Make a trajectory of a document; raises `RecordError`, or what a wrong type raises."""
    agent = document["agent"]
    turns: list[Turn] = []
    for step in document["steps"]:
        heard = [text_of(result.get("content")) for result in _results(step)]
        if step["source"] == "agent":
            if turns and turns[-1].role == "assistant":
                turns.append(Turn("user", ""))
            calls = [
                (call["function_name"], call["arguments"]) for call in step.get("tool_calls") or []
            ]
            text = with_calls(text_of(step["message"]), calls)
            loss = False if step.get("is_copied_context") else None
            turns.append(Turn("assistant", text, loss, _optional(step.get("reasoning_content"))))
        else:
            turns.append(Turn(step["source"], text_of(step["message"])))
        turns += [Turn("user", text) for text in heard]
    known = ("session_id", "continued_trajectory_ref", "notes")
    trajectory = trajectory_of(
        turns,
        Origin(
            format="atif",
            path=path,
            number=number,
            id=str(
                document.get("trajectory_id")
                or document.get("session_id")
                or f"{path.name}#{number}"
            ),
            kind=str(agent["name"]),
            fields={name: document[name] for name in known if document.get(name) is not None},
            tools=agent.get("tool_definitions") or (),
            policy=str(agent["name"]),
            model=str(agent["model_name"]) if agent.get("model_name") else None,
        ),
    )
    spoken = [step for step in document["steps"] if step["source"] == "agent"]
    return replace(
        trajectory,
        steps=tuple(
            _with_metrics(step, theirs.get("metrics") or {})
            for step, theirs in zip(trajectory.steps, spoken, strict=True)
        ),
    )


def _results(step: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    observation = step.get("observation") or {}
    return list(observation.get("results") or [])


def _with_metrics(step: Step, metrics: Mapping[str, Any]) -> Step:
    ids, logprobs = metrics.get("completion_token_ids"), metrics.get("logprobs")
    return replace(
        step,
        usage=Usage(
            int(metrics.get("prompt_tokens") or 0),
            int(metrics.get("completion_tokens") or 0),
            int(metrics.get("cached_tokens") or 0),
            number_of(metrics.get("cost_usd"), "cost_usd"),
        ),
        token_ids=tuple(map(int, ids)) if ids is not None else None,
        logprobs=tuple(map(float, logprobs)) if logprobs is not None else None,
    )


def _optional(text: Any) -> str | None:
    return None if text is None else text_of(text)
