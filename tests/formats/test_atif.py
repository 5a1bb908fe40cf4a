"""ATIF: valid by the schema of others, and nothing lost on the way there and back."""

import json
from dataclasses import fields, replace
from pathlib import Path

import atif
import pytest
from arbitrary import step_fields, trajectories, trajectory_fields
from hypothesis import given

from agentkd.errors import DamagedFileError, RecordError
from agentkd.formats import format_named, refuse_damage
from agentkd.formats.atif import from_atif, to_atif
from agentkd.policies.mistakes import ErringExpertPolicy
from agentkd.trajectory import Message, Step, Trajectory, Usage

ATIF = format_named("atif")
HERE = Path("here.json")

FOREIGN = {
    "schema_version": "ATIF-v1.8",
    "session_id": "run-7",
    "trajectory_id": "t-7",
    "agent": {
        "name": "other-agent",
        "version": "2.1",
        "model_name": "big-model",
        "tool_definitions": [{"type": "function", "function": {"name": "ls"}}],
    },
    "steps": [
        {"step_id": 1, "source": "system", "message": "Be brief."},
        {"step_id": 2, "source": "user", "message": [{"type": "text", "text": "List the files."}]},
        {"step_id": 3, "source": "agent", "message": "old", "is_copied_context": True},
        {
            "step_id": 4,
            "source": "agent",
            "message": "I look.",
            "reasoning_content": "hm",
            "tool_calls": [
                {"tool_call_id": "c1", "function_name": "ls", "arguments": {"path": "."}},
                {"tool_call_id": "c2", "function_name": "ls", "arguments": {"path": "/"}},
            ],
            "observation": {
                "results": [
                    {"source_call_id": "c1", "content": "a.txt"},
                    {"source_call_id": "c2", "content": "bin"},
                ]
            },
            "metrics": {
                "prompt_tokens": 12,
                "completion_tokens": 3,
                "cost_usd": 0.5,
                "completion_token_ids": [4, 5, 6],
                "logprobs": [-0.1, -0.2, -0.3],
            },
        },
        {"step_id": 5, "source": "user", "message": "Go on."},
        {"step_id": 6, "source": "agent", "message": "Done."},
    ],
}


def test_the_arbitrary_records_of_these_tests_have_every_field() -> None:
    assert set(step_fields) == {field.name for field in fields(Step)}
    assert {*trajectory_fields, "record_version"} == {field.name for field in fields(Trajectory)}


@given(trajectories)
def test_there_and_back_is_the_identity_and_valid_atif(trajectory: Trajectory) -> None:
    document = json.loads(json.dumps(to_atif(trajectory)))
    atif.Trajectory.model_validate(document)
    assert list(from_atif(document, HERE, 0)) == [trajectory]


def test_real_episodes_are_steps_of_atif(play, tmp_path: Path) -> None:
    episodes = play(ErringExpertPolicy(0.3), count=4)
    ATIF.write(episodes, tmp_path)
    for episode in episodes:
        path = tmp_path / "trajectories" / f"{episode.id}.json"
        assert list(ATIF.read(path, refuse_damage)) == [episode]
        document = atif.Trajectory.model_validate_json(path.read_text())
        assert document.schema_version == "ATIF-v1.7"
        spoken = [step for step in document.steps if step.source == "agent"]
        assert [step.message for step in spoken] == [step.text for step in episode.steps]
        assert [step.observation.results[0].content for step in spoken] == [
            step.observation for step in episode.steps
        ]
        assert {step.llm_call_count for step in spoken} == {0}
        assert document.final_metrics.total_steps == len(document.steps)


def test_tokens_and_cost_are_metrics(play) -> None:
    (episode,) = play(count=1)
    step = replace(
        episode.steps[0],
        author="student",
        token_ids=(1, 2),
        logprobs=(-0.5, 0.0),
        reasoning="why not",
        usage=Usage(100, 2, 90, 0.25),
    )
    episode = replace(episode, steps=(step,), prompt=(*episode.prompt, Message("assistant", "OK")))
    document = atif.Trajectory.model_validate(to_atif(episode))
    written = document.steps[-1]
    assert written.metrics.completion_token_ids == [1, 2]
    assert written.metrics.logprobs == [-0.5, 0.0]
    assert written.metrics.cached_tokens == 90
    assert written.reasoning_content == "why not"
    assert document.final_metrics.total_cost_usd == 0.25
    assert document.steps[-2].is_copied_context


def test_a_document_of_another_agent_is_read() -> None:
    atif.Trajectory.model_validate(FOREIGN)
    (found,) = from_atif(FOREIGN, HERE, 0)
    assert found.prompt == (Message("system", "Be brief."), Message("user", "List the files."))
    old, look, done = found.steps
    assert (old.loss, look.loss, done.loss) == (False, True, True)
    assert look.text.startswith('I look.\n<tool_call>\n{"name": "ls", "arguments": {"path": "."}}')
    assert look.text.count("</tool_call>") == 2
    assert look.observation == "a.txt\nbin\nGo on."
    assert look.reasoning == "hm"
    assert look.usage == Usage(12, 3, 0, 0.5)
    assert (look.token_ids, look.logprobs) == ((4, 5, 6), (-0.1, -0.2, -0.3))
    assert found.policy.model == "big-model"
    assert found.extra["tools"] == FOREIGN["agent"]["tool_definitions"]
    assert found.task.payload["id"] == "t-7"
    assert found.outcome.status == "unknown"
    assert Trajectory.from_json(found.to_json()) == found


def test_embedded_sub_agents_are_trajectories_of_their_own() -> None:
    outer = {**FOREIGN, "subagent_trajectories": [{**FOREIGN, "trajectory_id": "inner"}]}
    found = [trajectory.task.payload["id"] for trajectory in from_atif(outer, HERE, 0)]
    assert found == ["t-7", "inner"]


def without(key: str) -> dict[str, object]:
    return {name: value for name, value in FOREIGN.items() if name != key}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (without("schema_version"), "schema_version is None"),
        ({**FOREIGN, "schema_version": "ATIF-v2.0"}, "ATIF-v2.0"),
        (without("agent"), "'agent'"),
        ({**FOREIGN, "steps": [{"source": "agent"}]}, "message"),
        ({**FOREIGN, "steps": FOREIGN["steps"][:2]}, "no message of the policy"),
        ({**FOREIGN, "steps": [{"source": "robot", "message": "x"}]}, "robot|policy"),
        (
            {**FOREIGN, "steps": [{"source": "agent", "message": [{"type": "image"}]}]},
            "other than text",
        ),
    ],
)
def test_what_is_not_atif_is_named(document, reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        list(from_atif(document, HERE, 0))


def test_a_damaged_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text('{"schema_version": "ATIF-v1.7",\n "steps": [}')
    with pytest.raises(DamagedFileError, match=r"one\.json, line 2"):
        list(ATIF.read(path, refuse_damage))


def test_two_episodes_of_one_id_both_keep_a_file(play, tmp_path: Path) -> None:
    (episode,) = play(count=1)
    strange = replace(episode, id="../../etc/passwd")
    ATIF.write([episode, episode, strange], tmp_path)
    files = list((tmp_path / "trajectories").iterdir())
    assert len(files) == 3
    found = [one.id for file in files for one in ATIF.read(file, refuse_damage)]
    assert sorted(found) == sorted([episode.id, episode.id, strange.id])
