"""Formats of messages: turns and loss flags survive; what a source does not say stays unknown."""

import json
from dataclasses import replace
from pathlib import Path

import published_samples as published
import pytest

from agentkd.curate.rows import to_rows
from agentkd.formats import FORMATS, Damage, format_named, refuse_damage
from agentkd.formats.conversation import turns_of
from agentkd.policies.mistakes import ErringExpertPolicy
from agentkd.trajectory import Message, Outcome, Trajectory

TOOLS = [{"type": "function", "function": {"name": "ls", "parameters": {"type": "object"}}}]


def read(name: str, path: Path) -> list[Trajectory]:
    return list(format_named(name).read(path, refuse_damage))


def written(name: str, episodes: list[Trajectory], folder: Path) -> list[Path]:
    folder.mkdir()
    chosen = format_named(name)
    chosen.write(episodes, folder)
    return sorted(folder.glob(chosen.files))


@pytest.mark.parametrize("name", ["messages", "openai", "sharegpt", "sessions"])
def test_turns_and_flags_survive_the_trip(play, tmp_path: Path, name: str) -> None:
    episodes = play(ErringExpertPolicy(0.4), count=3)
    files = written(name, episodes, tmp_path / "out")
    again = [episode for file in files for episode in read(name, file)]
    flags = {tuple(turns_of(episode)) for episode in again}
    assert flags == {tuple(turns_of(episode)) for episode in episodes}
    assert any(not step.loss for episode in again for step in episode.steps)
    actions = [[step.action for step in episode.steps] for episode in again]
    assert sorted(actions) == sorted([step.action for step in one.steps] for one in episodes)
    assert all(Trajectory.from_json(episode.to_json()) == episode for episode in again)


@pytest.mark.parametrize("name", ["messages", "sessions"])
def test_outcomes_survive_where_the_format_has_a_place(play, tmp_path: Path, name: str) -> None:
    outcomes = {
        Outcome(1.0, True, "ok", "success"),
        Outcome(0.25, False, "budget", "max_steps"),
        Outcome(0.0, False, "env_error", "error"),
        Outcome(0.0, False, "unknown", "unknown"),
    }
    (episode,) = play(count=1)
    episodes = [replace(episode, id=str(n), outcome=one) for n, one in enumerate(outcomes)]
    files = written(name, episodes, tmp_path / "out")
    assert {episode.outcome for file in files for episode in read(name, file)} == outcomes


def test_a_demonstration_in_the_prompt_is_never_trained(play, tmp_path: Path) -> None:
    (episode,) = play(count=1)
    shown = (Message("user", "Ready?"), Message("assistant", "Yes."), *episode.prompt)
    (path,) = written("openai", [replace(episode, prompt=shown)], tmp_path / "out")
    messages = json.loads(path.read_text())["messages"]
    assert messages[1] == {"role": "assistant", "content": "Yes.", "weight": 0}
    assert messages[3]["weight"] == 1


def test_openai_lines_are_what_the_api_asks_for(play, tmp_path: Path) -> None:
    episodes = [replace(one, extra={"tools": TOOLS}) for one in play(count=2)]
    empty = replace(episodes[0], steps=())
    (path,) = written("openai", [*episodes, empty], tmp_path / "out")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 2
    for line in lines:
        assert set(line) == {"messages", "tools"}
        assert line["tools"] == TOOLS
        assert line["messages"][-1]["role"] == "assistant"
        for message in line["messages"]:
            assert set(message) == {"role", "content"} | (
                {"weight"} if message["role"] == "assistant" else set()
            )
            assert message.get("weight", 0) in (0, 1)


def test_messages_load_with_datasets(play, tmp_path: Path) -> None:
    from datasets import load_dataset

    with_tools, without = play(count=2)
    with_tools = replace(with_tools, extra={"tools": TOOLS})
    (path,) = written("messages", [with_tools, without], tmp_path / "out")
    data = load_dataset("parquet", data_files=str(path), cache_dir=str(tmp_path / "cache"))["train"]
    assert data[0]["tools"] == TOOLS
    assert data[1]["tools"] is None
    assert data[1]["messages"] == [
        {"role": turn.role, "content": turn.text, "loss": turn.loss} for turn in turns_of(without)
    ]
    assert read("messages", path)[0].extra["tools"] == TOOLS


def test_a_session_is_a_header_and_messages(play, tmp_path: Path) -> None:
    (episode,) = play(count=1)
    step = replace(episode.steps[0], reasoning="let me see", observation="You win.")
    episode = replace(episode, steps=(step,))
    (path,) = written("sessions", [episode], tmp_path / "out")
    header, *rest = [json.loads(line) for line in path.read_text().splitlines()]
    assert (header["type"], header["harness"], header["id"]) == ("session", "agentkd", episode.id)
    assert {line["type"] for line in rest} == {"message"}
    assert rest[1]["message"] == {
        "role": "assistant",
        "content": step.text,
        "reasoningContent": "let me see",
    }
    assert rest[-1]["message"] == {"role": "user", "content": "You win."}
    (again,) = read("sessions", path)
    assert again.steps[0].observation == "You win."
    assert again.steps[0].reasoning == "let me see"


def test_a_session_of_another_harness_with_tools_is_read(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    call = {"id": "t1", "function": {"name": "get_time", "arguments": '{"zone": "UTC"}'}}
    lines = [
        {"type": "session", "harness": "llama.app", "id": "abc"},
        {"type": "message", "message": {"role": "user", "content": "the time?"}},
        {"type": "message", "message": {"role": "assistant", "content": "", "toolCalls": [call]}},
        {"type": "message", "message": {"role": "tool", "toolCallId": "t1", "content": "15:00"}},
        {"type": "message", "message": {"role": "assistant", "content": "15:00 UTC"}},
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    (found,) = read("sessions", path)
    first, last = found.steps
    assert '{"name": "get_time", "arguments": {"zone": "UTC"}}' in first.text
    assert (first.observation, last.text) == ("15:00", "15:00 UTC")
    assert found.task.payload == {
        "format": "sessions",
        "id": "abc",
        "fields": {"harness": "llama.app"},
    }


def test_agenttraj_keeps_flags_actions_and_ids(tmp_path: Path) -> None:
    named, numbered = read("agenttraj", published.agenttraj(tmp_path))
    assert [step.loss for step in named.steps] == [False, False, True, True]
    assert [step.action for step in named.steps] == [
        None,
        "go to desk 1",
        "go to shelf 1",
        "take mug 1 from shelf 1",
    ]
    assert named.steps[1].thought == "the desk is near"
    assert named.prompt == (Message("user", published.RULES),)
    assert named.steps[0].observation == published.TASK
    assert named.steps[-1].observation == ""
    assert named.task.env == numbered.task.env == "agenttraj-alfworld"
    assert named.task.payload["id"] == "pick_and_place-Mug-None-Desk-301_trial_T2019_0"
    assert numbered.task.payload["id"] == "alfworld_7"
    assert named.outcome == Outcome(0.0, False, "unknown", "unknown")
    assert [entry["loss"] for entry in to_rows(named)[0]["messages"]] == [
        *(False, False, False, False, False, True, False, True)
    ]


def test_agentinstruct_names_its_world_in_the_id(tmp_path: Path) -> None:
    found = read("agentinstruct", published.agentinstruct(tmp_path))
    assert [one.task.payload["id"] for one in found] == ["os_0", "os_1", "os_2"]
    assert {one.task.env for one in found} == {"agentinstruct-os"}
    assert [step.loss for step in found[0].steps] == [False, False, True, True]


def test_eto_has_no_flags_and_some_rewards(tmp_path: Path) -> None:
    solved, partly, game = read("eto", published.eto(tmp_path))
    assert all(step.loss is True for step in solved.steps)
    assert solved.task.env == "eto-webshop"
    assert solved.outcome == Outcome(1.0, True, "ok", "success")
    assert partly.outcome == Outcome(0.75, False, "ok", "failure")
    assert game.outcome.status == "unknown"
    assert game.task.payload["fields"] == {"game_file": "json_2.1.1/train/x/game"}


def test_a_reward_on_another_scale_says_nothing_about_success(tmp_path: Path) -> None:
    path = tmp_path / "sciworld_train.json"
    items = [
        {"item_id": "sciworld_1", "reward": 40, "conversations": published.flagged()},
        {"item_id": "sciworld_2", "reward": 40, "success": 0, "conversations": published.flagged()},
    ]
    path.write_text(json.dumps(items))
    silent, failed = (one.outcome for one in read("agenttraj", path))
    assert silent == Outcome(40.0, False, "unknown", "unknown")
    assert failed == Outcome(40.0, False, "ok", "failure")


def test_reading_twice_gives_the_same_records(tmp_path: Path) -> None:
    path = published.agenttraj(tmp_path)
    assert read("agenttraj", path) == read("agenttraj", path)
    assert len({one.id for one in read("agenttraj", path)}) == 2


def test_sharegpt_with_system_tools_and_other_flags(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    item = {
        "system": "Be kind.",
        "tools": json.dumps(TOOLS),
        "conversations": [
            {"from": "human", "value": "hi"},
            {"from": "function_call", "value": "{}", "weight": 0},
            {"from": "observation", "value": "a"},
            {"from": "observation", "value": "b"},
            {"from": "gpt", "value": "bye", "train": True},
        ],
    }
    path.write_text(json.dumps(item) + "\n\n")
    (found,) = read("sharegpt", path)
    assert found.prompt[0] == Message("system", "Be kind.")
    assert [step.loss for step in found.steps] == [False, True]
    assert found.steps[0].observation == "a\nb"
    assert found.extra["tools"] == TOOLS
    assert found.task.payload["id"] == "x.jsonl#0"


CHAT = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]


@pytest.mark.parametrize(
    ("name", "item", "reason"),
    [
        ("sharegpt", {"conversations": "hello"}, "list of messages"),
        ("sharegpt", {"conversations": [{"from": "gpt"}]}, "'from' and 'value'"),
        ("sharegpt", {"conversations": [{"from": "elf", "value": "x"}]}, "speaker 'elf'"),
        ("sharegpt", {"conversations": [{"from": "gpt", "value": 3}]}, "must be a string"),
        ("sharegpt", {"conversations": [{"from": "human", "value": "x"}]}, "no message of the"),
        ("sharegpt", {"conversations": [{"from": "gpt", "value": "x"}] * 2}, "twice in a row"),
        (
            "sharegpt",
            {"conversations": [{"from": "gpt", "value": "x", "loss": "yes"}]},
            "loss flag",
        ),
        ("eto", {"conversations": published.unflagged(), "reward": "good"}, "'reward'"),
        ("agenttraj", {"conversations": published.flagged(), "success": "yes"}, "'success'"),
        ("sharegpt", {"conversations": published.flagged(), "tools": "{"}, "'tools' is not JSON"),
        ("openai", {"messages": None}, "list of messages"),
        ("openai", {"messages": [{"content": "x"}]}, "'role'"),
        ("openai", {"messages": [*CHAT, {"role": "assistant", "tool_calls": [{}]}]}, "tool call"),
        ("sessions", {"type": "message"}, "header"),
    ],
)
def test_damage_is_named_by_file_line_and_reason(
    tmp_path: Path, name: str, item: dict[str, object], reason: str
) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps(item) + "\n")
    found: list[Damage] = []
    assert list(format_named(name).read(path, found.append)) == []
    assert len(found) == 1
    assert str(found[0]).startswith(f"{path}, line 1: ")
    assert reason in str(found[0])


def test_a_session_with_a_broken_line_is_damaged_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    message = {"type": "message", "message": {"role": "assistant", "content": "x"}}
    path.write_text('{"type": "session", "id": "a"}\n{"type\n' + json.dumps(message) + "\n")
    found: list[Damage] = []
    assert list(format_named("sessions").read(path, found.append)) == []
    assert [damage.place for damage in found] == ["line 2"]


def test_every_format_says_what_it_is() -> None:
    assert all(one.summary and one.name == name for name, one in FORMATS.items())
    assert {name for name, one in FORMATS.items() if one.write} == {
        *("atif", "messages", "openai", "sharegpt", "sessions")
    }
