"""Export and import of whole runs, as a stranger does it on the command line."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import published_samples as published
import pytest
import yaml
from command_line import fail, succeed
from hub_stand_in import HubStandIn
from transformers import AutoTokenizer

from agentkd.curate.rows import read_rows
from agentkd.formats.conversation import turns_of
from agentkd.policies.mistakes import ErringExpertPolicy
from agentkd.store import EpisodeReader, EpisodeStore
from agentkd.students.tiny import BASE
from agentkd.train.dataset import label_rows
from agentkd.train.labels import IGNORED, ChatRenderer
from agentkd.trajectory import Outcome, Trajectory

SECRET = "hf_abcdEFGH0123ijklMNOP4567qrstUVWX89zy"


def push(run: Path, out: Path, hub: HubStandIn) -> subprocess.CompletedProcess[str]:
    """Push in a process of its own, where the Hub is the stand-in."""
    arguments = ["export", "--run", str(run), "--format", "openai", "--out", str(out)]
    return subprocess.run(
        [sys.executable, "-m", "agentkd", *arguments, "--push-to-hub", "me/agents"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_of_a_test"},
    )


@pytest.fixture(autouse=True)
def no_token(monkeypatch, tmp_path_factory) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    nowhere = str(tmp_path_factory.mktemp("hub") / "token")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", nowhere)


@pytest.fixture
def run(play, tmp_path: Path) -> Path:
    """A run of five episodes: one failed, one with a secret, one that a machine broke."""
    first, second, third, fourth, fifth = play(ErringExpertPolicy(0.3), count=5)
    leaky = replace(second.steps[0], observation=f"token {SECRET} in /home/jane/notes")
    folder = tmp_path / "run"
    with EpisodeStore(folder / "trajectories.jsonl") as store:
        store.append(first)
        store.append(replace(second, steps=(leaky, *second.steps[1:])))
        store.append(replace(third, outcome=Outcome(0.0, False, "budget", "max_steps")))
        store.append(replace(fourth, outcome=Outcome(0.0, False, "env_error", "error", "died")))
        store.append(fifth)
    return folder


def store_of(run: Path) -> list[Trajectory]:
    return list(EpisodeReader(run / "trajectories.jsonl"))


def text_of(folder: Path) -> str:
    return "".join(file.read_text() for file in folder.rglob("*") if file.is_file())


def test_atif_carries_a_run_to_another_machine_whole(run: Path, tmp_path: Path) -> None:
    out, copy = str(tmp_path / "out"), str(tmp_path / "copy")
    said = succeed("export", "--run", str(run), "--format", "atif", "--out", out, "--no-redact")
    assert "not redacted" in said
    assert f"hf upload USER/NAME {out} . --repo-type dataset" in said
    said = succeed("import", out, "--format", "atif", "--run", copy)
    assert f"agentkd curate --run {copy}" in said
    again = {one.id: one for one in store_of(tmp_path / "copy")}
    assert again == {one.id: one for one in store_of(run)}


def test_an_export_is_redacted_and_says_so(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = succeed("export", "--run", str(run), "--format", "sessions", "--out", str(out))
    assert "redacted: API key" in said
    assert "redacted: home folder" in said
    assert SECRET not in text_of(out)
    assert "jane" not in text_of(out)
    assert SECRET in (run / "trajectories.jsonl").read_text()
    card = (out / "README.md").read_text()
    assert "| API key | 1 |" in card
    assert "| home folder | 1 |" in card
    assert len(list((out / "sessions").glob("*.jsonl"))) == 5


def test_training_data_holds_what_curation_keeps(run: Path, tmp_path: Path) -> None:
    out, more = tmp_path / "out", tmp_path / "more"
    said = succeed("export", "--run", str(run), "--format", "openai", "--out", str(out))
    assert "left out: not successful" in said
    assert "left out: infrastructure failure" in said
    assert len((out / "train.jsonl").read_text().splitlines()) == 3
    arguments = ("export", "--run", str(run), "--format", "openai", "--out", str(more))
    succeed(*arguments, "--curate.only_successes", "false")
    assert len((more / "train.jsonl").read_text().splitlines()) == 4


def test_the_card_has_a_header_that_loads_the_data(run: Path, tmp_path: Path) -> None:
    from datasets import load_dataset

    out = tmp_path / "out"
    succeed("export", "--run", str(run), "--format", "messages", "--out", str(out))
    _, header, body = (out / "README.md").read_text().split("---\n", 2)
    meta = yaml.safe_load(header)
    assert meta["license"] == "unknown"
    assert meta["size_categories"] == ["n<1K"]
    assert f"agentkd export --run {run} --format messages --out {out}" in body
    assert "| episodes | 3 |" in body
    assert "| environment | household 3 |" in body
    assert "| infrastructure failure | 1 |" in body
    assert "ALFWorld" in body
    data = load_dataset(str(out), cache_dir=str(tmp_path / "cache"))["train"]
    assert len(data) == 3


@pytest.mark.parametrize("name", ["agenttraj", "agentinstruct", "eto"])
def test_imported_episodes_become_training_rows(tmp_path: Path, name: str) -> None:
    path, run = getattr(published, name)(tmp_path), tmp_path / "run"
    said = succeed("import", str(path), "--format", name, "--run", str(run))
    curate = said.split("next: agentkd ")[1].split()
    assert "--curate.only_successes" in curate
    succeed(*curate, "--curate.drop_duplicates", "false", "--curate.validation", "0")
    rows = list(read_rows(run / "rows" / "train.parquet"))
    episodes = store_of(run)
    assert [row["trajectory_id"] for row in rows] == [one.id for one in episodes]
    for row, episode in zip(rows, episodes, strict=True):
        spoken = [entry["loss"] for entry in row["messages"] if entry["role"] == "assistant"]
        assert spoken == [step.loss for step in episode.steps]
    assert f"Imported from: {path.name}" in (run / "rows" / "README.md").read_text()
    assert len({one.key for one in episodes}) == len(episodes)


def test_imported_rows_are_labelled_as_their_source_says(tmp_path: Path) -> None:
    path, run = published.agenttraj(tmp_path), tmp_path / "run"
    succeed("import", str(path), "--format", "agenttraj", "--run", str(run))
    succeed("curate", "--run", str(run), "--curate.only_successes", "false")
    rows = [row for file in run.glob("rows/*.parquet") for row in read_rows(file)]
    renderer = ChatRenderer(AutoTokenizer.from_pretrained(str(BASE)))
    ((row,), _) = label_rows(rows, renderer, 4_096, "error")
    trained = renderer.decode([label for label in row.labels if label != IGNORED])
    assert "ACTION: take mug 1 from shelf 1" in trained
    assert "ACTION: go to shelf 1" in trained
    assert "go to desk 1" not in trained
    assert "OK" not in trained


def test_episodes_of_one_task_are_told_apart(run: Path, tmp_path: Path) -> None:
    succeed("export", "--run", str(run), "--format", "atif", "--out", str(tmp_path / "out"))
    files = str(tmp_path / "out")
    succeed("import", files, files, "--format", "atif", "--run", str(tmp_path / "twice"))
    found = store_of(tmp_path / "twice")
    assert len(found) == len({one.key for one in found}) == 10


def test_damage_stops_an_import_or_is_counted(tmp_path: Path) -> None:
    path, run = tmp_path / "data.jsonl", tmp_path / "run"
    good = json.dumps({"conversations": published.flagged()})
    path.write_text(f'{good}\n{{"conversations": []}}\n{good}\n')
    arguments = ("import", str(path), "--format", "sharegpt", "--run", str(run))
    said = fail(*arguments)
    assert f"{path}, line 2: holds no message of the policy" in said
    assert "--skip-damaged" in said
    assert not run.exists()
    assert "damaged, left out                        1" in succeed(*arguments, "--skip-damaged")
    first, second = store_of(run)
    assert turns_of(first) == turns_of(second)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "--run", "RUN", "--format", "atfi", "--out", "OUT"], "Did you mean 'atif'"),
        (["export", "--run", "RUN", "--format", "eto", "--out", "OUT"], "unknown export format"),
        (["export", "--run", "RUN", "--format", "atif", "--out", "RUN"], "exists"),
        (["export", "--run", "NEW", "--format", "atif", "--out", "OUT"], "agentkd collect --run"),
        (["export", "--run", "EMPTY", "--format", "atif", "--out", "OUT"], "holds no episode"),
        (["export", "--run", "FAILED", "--format", "openai", "--out", "OUT"], "1 not successful"),
        (
            ["export", "--run", "RUN", "--format", "atif", "--out", "OUT", "--push-to-hub", "a/b"],
            "hf auth login",
        ),
        (
            ["export", "--run", "RUN", "--format", "atif", "--out", "OUT", "--push-to-hub", "a/b/"],
            "USER/NAME",
        ),
        (["import", "FILE", "--format", "agentraj", "--run", "NEW"], "Did you mean 'agenttraj'"),
        (["import", "NOTHING", "--format", "eto", "--run", "NEW"], "no file or folder"),
        (["import", "--format", "eto", "--run", "NEW"], "name the files"),
        (["import", "FILE", "--format", "agenttraj", "--run", "RUN"], "holds episodes already"),
        (["import", "EMPTY", "--format", "agenttraj", "--run", "NEW"], "holds no episode"),
        (["import", "FILE", "--format", "openai", "--run", "NEW", "--skip-damaged"], "none of 2"),
    ],
)
def test_a_mistake_gets_a_message(
    run: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    failed = tmp_path / "failed" / "trajectories.jsonl"
    with EpisodeStore(failed) as store:
        store.append(store_of(run)[2])
    with EpisodeStore(tmp_path / "empty" / "trajectories.jsonl"):
        pass
    places = {
        "RUN": run,
        "NEW": tmp_path / "new",
        "OUT": tmp_path / "out",
        "EMPTY": tmp_path / "empty",
        "FAILED": tmp_path / "failed",
        "FILE": published.agenttraj(tmp_path),
        "NOTHING": tmp_path / "nothing.json",
    }
    assert message in fail(*(str(places.get(part, part)) for part in arguments))
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"run", "empty", "failed", "alfworld_train.json"}


def test_a_run_that_is_being_written_is_left_alone(run: Path, tmp_path: Path) -> None:
    with EpisodeStore(run / "trajectories.jsonl"):
        out = ("--out", str(tmp_path / "out"))
        assert "being written" in fail("export", "--run", str(run), "--format", "atif", *out)
        path = published.agenttraj(tmp_path)
        said = fail("import", str(path), "--format", "agenttraj", "--run", str(run))
        assert "another process is writing" in said
    assert len(store_of(run)) == 5


def test_nothing_is_collected_into_an_imported_run(tmp_path: Path) -> None:
    path, run = published.agenttraj(tmp_path), str(tmp_path / "run")
    succeed("import", str(path), "--format", "agenttraj", "--run", run)
    assert "holds imported episodes" in fail("collect", "--run", run)


def test_a_push_uploads_the_data_and_the_card(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with HubStandIn() as hub:
        done = push(run, out, hub)
    assert done.returncode == 0, done.stderr
    assert f"pushed to {hub.url}/datasets/me/agents" in done.stdout
    assert hub.created["type"] == "dataset"
    assert "private" in {hub.created.get("visibility"), hub.created.get("private") and "private"}
    assert hub.tokens == {"Bearer hf_of_a_test"}
    assert hub.files == {
        "README.md": (out / "README.md").read_bytes(),
        "train.jsonl": (out / "train.jsonl").read_bytes(),
    }


def test_a_hub_that_refuses_leaves_the_export_and_says_how_to_go_on(
    run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with HubStandIn() as hub:
        hub.is_out_of_order = True
        done = push(run, out, hub)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert f"hf upload me/agents {out} . --repo-type dataset" in done.stderr
    assert (out / "train.jsonl").exists()
