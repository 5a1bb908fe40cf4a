"""Curation: every episode is kept, or counted under what dropped it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agentkd.curate.rows import is_held_out, read_rows, to_rows, write_rows
from agentkd.curate.select import selection
from agentkd.errors import NothingToTrainError
from agentkd.policies import ScriptedPolicy
from agentkd.policies.mistakes import ErringExpertPolicy
from agentkd.recipe import CurateSection
from agentkd.trajectory import Message, Outcome, Trajectory


def fail(trajectory: Trajectory) -> Trajectory:
    return replace(trajectory, outcome=Outcome(0.0, False, "budget", "max_steps"))


def mixed(play) -> list[Trajectory]:
    """Two good episodes, one of them twice, a failed one, a broken one, and one all masked."""
    first, second, third, fourth = play(count=4)
    broken = replace(third, outcome=Outcome(0.0, False, "env_error", "error", "died"))
    masked = replace(fourth, steps=tuple(replace(step, loss=False) for step in fourth.steps))
    again = replace(first, id="again", attempt=1)
    return [first, fail(second), again, broken, masked, second]


def test_counts_sum_to_what_was_read(play) -> None:
    select = selection(CurateSection())
    kept = list(select(mixed(play)))
    assert select.counts == {
        "episodes read": 6,
        "infrastructure failure": 1,
        "outcome unknown": 0,
        "not successful": 1,
        "nothing to train": 1,
        "duplicate": 1,
        "kept": 2,
    }
    assert len({trajectory.task.id for trajectory in kept}) == 2


def test_filters_can_be_switched_off(play) -> None:
    select = selection(CurateSection(only_successes=False, drop_duplicates=False))
    assert len(list(select(mixed(play)))) == 4


def test_rows_carry_a_flag_per_message(play) -> None:
    for trajectory in play(ErringExpertPolicy(0.3), count=6):
        (row,) = to_rows(trajectory)
        spoken = [entry for entry in row["messages"] if entry["role"] == "assistant"]
        assert [entry["content"] for entry in spoken] == [s.text for s in trajectory.steps]
        assert [entry["loss"] for entry in spoken] == [s.loss for s in trajectory.steps]
        assert not any(e["loss"] for e in row["messages"] if e["role"] != "assistant")


def test_a_demonstration_in_the_prompt_carries_no_loss(play) -> None:
    (episode,) = play(count=1)
    shown = (Message("user", "Ready?"), Message("assistant", "Yes."), *episode.prompt)
    row = to_rows(replace(episode, prompt=shown))[0]
    assert [entry["loss"] for entry in row["messages"][:4]] == [False, False, False, True]


def test_rows_survive_the_trip_to_disk(play, tmp_path: Path) -> None:
    episodes = play(count=30)
    counts = write_rows(episodes, selection(CurateSection()), tmp_path, 0.2, {"Recipe": "test"})
    rows = {side: list(read_rows(tmp_path / f"{side}.parquet")) for side in ("train", "validation")}
    assert len(rows["train"]) == counts["training rows"] > 0
    assert len(rows["validation"]) == counts["validation rows"] > 0
    assert {row["task_id"] for row in rows["train"]}.isdisjoint(
        row["task_id"] for row in rows["validation"]
    )
    written = {row["trajectory_id"]: row for side in rows.values() for row in side}
    assert written == {episode.id: to_rows(episode)[0] for episode in episodes}
    assert json.loads((tmp_path / "counts.json").read_text())["counts"] == counts
    card = (tmp_path / "README.md").read_text()
    assert "| episodes read | 30 |" in card


def test_which_tasks_are_held_out_is_fixed() -> None:
    chosen = {f"task-{n}" for n in range(5000) if is_held_out(f"task-{n}", 0.1)}
    assert 400 < len(chosen) < 600
    assert chosen <= {f"task-{n}" for n in range(5000) if is_held_out(f"task-{n}", 0.2)}
    assert not any(is_held_out(f"task-{n}", 0.0) for n in range(100))


def test_nothing_left_says_where_everything_fell(play, tmp_path: Path) -> None:
    lost = [fail(episode) for episode in play(count=3)]
    with pytest.raises(NothingToTrainError, match="3 not successful"):
        write_rows(lost, selection(CurateSection()), tmp_path, 0.0, {})
    assert not list(tmp_path.glob("*.parquet*"))


def test_no_episode_at_all_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(NothingToTrainError, match="agentkd collect"):
        write_rows([], selection(CurateSection()), tmp_path, 0.0, {})


def test_an_episode_without_success_is_no_row(play) -> None:
    idle = play(ScriptedPolicy(lambda _: ["Action: look"] * 3), count=2, max_steps=3)
    select = selection(CurateSection())
    assert list(select(idle)) == []
    assert select.counts["not successful"] == 2
