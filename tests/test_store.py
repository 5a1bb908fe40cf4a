"""The store: whole lines or none, nothing lost, nothing twice."""

import json
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkd.errors import RecordError, RunLockedError, StorageError
from agentkd.store import EpisodeReader, EpisodeStore
from agentkd.trajectory import (
    Message,
    Outcome,
    PolicyInfo,
    Step,
    Task,
    Trajectory,
    Usage,
)

text = st.text(max_size=40)
numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
steps = st.builds(
    Step,
    text=text,
    observation=text,
    action=st.none() | text,
    thought=text,
    format_error=st.sampled_from([None, "malformed", "truncated"]),
    reward=numbers,
    valid=st.booleans(),
    author=st.sampled_from(["teacher", "student", "expert", "random"]),
    tag=st.sampled_from([None, "error", "reflection"]),
    loss=st.booleans() | st.floats(0, 2),
    token_ids=st.none() | st.lists(st.integers(0, 99)).map(tuple),
    logprobs=st.none() | st.lists(numbers).map(tuple),
    candidates=st.lists(st.dictionaries(text, st.integers()), max_size=2).map(tuple),
    usage=st.builds(Usage, st.integers(0, 9), st.integers(0, 9), cost_usd=st.none() | numbers),
    info=st.dictionaries(text, st.none() | st.booleans() | text, max_size=3),
)
trajectories = st.builds(
    Trajectory,
    id=text,
    task=st.builds(
        Task, text, text, st.integers(), text, st.dictionaries(text, st.integers() | text)
    ),
    policy=st.builds(PolicyInfo, st.sampled_from(["expert", "mixed"]), text),
    prompt=st.lists(st.builds(Message, st.sampled_from(["system", "user"]), text)).map(tuple),
    steps=st.lists(steps, max_size=4).map(tuple),
    outcome=st.builds(
        Outcome,
        numbers,
        st.booleans(),
        st.sampled_from(["ok", "budget", "env_error"]),
        st.sampled_from(["success", "max_steps", "error"]),
    ),
    attempt=st.integers(0, 3),
    hint=st.none() | st.dictionaries(text, text),
)


@given(trajectories)
def test_a_record_survives_the_trip_to_disk(trajectory: Trajectory) -> None:
    line = trajectory.to_json()
    assert b"\n" not in line
    again = Trajectory.from_json(line)
    assert again == trajectory
    assert again.task.id == trajectory.task.id


def test_an_error_names_the_field(play) -> None:
    record = json.loads(play(count=1)[0].to_json())
    record["outcome"]["status"] = "fine"
    with pytest.raises(RecordError, match=r"outcome\.status"):
        Trajectory.from_json(json.dumps(record))


def test_a_newer_record_is_refused(play) -> None:
    newer = replace(play(count=1)[0], record_version=99)
    with pytest.raises(RecordError, match="newer"):
        Trajectory.from_json(newer.to_json())


def test_a_damaged_line_is_named_and_the_rest_is_read(play, tmp_path: Path) -> None:
    episodes = play(count=3)
    path = tmp_path / "store.jsonl"
    lines = [episode.to_json() for episode in episodes]
    lines[1] = lines[1][: len(lines[1]) // 2]
    path.write_bytes(b"\n".join(lines) + b"\n")
    reader = EpisodeReader(path)
    assert list(reader) == [episodes[0], episodes[2]]
    assert [damage.number for damage in reader.damaged] == [2]
    assert "line 2" in str(reader.damaged[0])


@pytest.mark.parametrize("cut", [1, 10, 200])
def test_a_torn_last_line_is_cut_off(play, tmp_path: Path, cut: int) -> None:
    episodes = play(count=3)
    path = tmp_path / "store.jsonl"
    with EpisodeStore(path) as store:
        for episode in episodes[:2]:
            store.append(episode)
    whole = path.read_bytes()
    path.write_bytes(whole + episodes[2].to_json()[:cut])
    with EpisodeStore(path) as store:
        assert path.read_bytes() == whole
        store.append(episodes[2])
    assert list(EpisodeReader(path)) == episodes


def test_a_last_line_that_lost_only_its_line_break_is_kept(play, tmp_path: Path) -> None:
    episodes = play(count=2)
    path = tmp_path / "store.jsonl"
    path.write_bytes(episodes[0].to_json())
    with EpisodeStore(path) as store:
        store.append(episodes[1])
    assert list(EpisodeReader(path)) == episodes


def test_two_writers_at_once_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.jsonl"
    with EpisodeStore(path), pytest.raises(RunLockedError, match="another process"):
        EpisodeStore(path)
    EpisodeStore(path).close()


def test_a_full_disk_leaves_what_was_there(play, tmp_path: Path) -> None:
    """A file size limit makes the kernel stop in the middle of a line, as a full disk does."""
    episode = play(count=1)[0]
    line = len(episode.to_json()) + 1
    path = tmp_path / "store.jsonl"
    script = tmp_path / "write.py"
    (tmp_path / "episode.json").write_bytes(episode.to_json())
    script.write_text(
        textwrap.dedent(
            f"""
            import resource, signal
            from pathlib import Path
            from agentkd.errors import StorageError
            from agentkd.store import EpisodeStore
            from agentkd.trajectory import Trajectory
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, ({2 * line + 50}, {2 * line + 50}))
            episode = Trajectory.from_json(Path({str(tmp_path / "episode.json")!r}).read_bytes())
            with EpisodeStore(Path({str(path)!r})) as store:
                store.append(episode)
                store.append(episode)
                try:
                    store.append(episode)
                except StorageError as error:
                    print(error)
            """
        )
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert "intact" in done.stdout
    assert path.stat().st_size == 2 * line
    assert len(list(EpisodeReader(path))) == 2


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        EpisodeStore(blocked / "store.jsonl")


def test_a_retried_failure_is_given_once(play, tmp_path: Path) -> None:
    good = play(count=2)
    broken = replace(good[0], outcome=Outcome(0.0, False, "env_error", "error", "died"))
    lost = replace(good[1], attempt=1, outcome=Outcome(0.0, False, "env_error", "error", "died"))
    path = tmp_path / "store.jsonl"
    with EpisodeStore(path) as store:
        for episode in (broken, lost, good[0], good[1], broken):
            store.append(episode)
    assert list(EpisodeReader(path).episodes()) == [good[0], good[1], lost]
