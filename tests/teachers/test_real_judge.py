"""A real language model as the judge: what it says is counted, cached, and never taken for more."""

import json
import subprocess
import sys
from pathlib import Path

from real_server import Server

from agentkd.evaluate.judging import INSTRUCTIONS


def agentkd(*arguments: str) -> str:
    command = [sys.executable, "-m", "agentkd", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout


def test_a_real_judge_is_asked_once_and_a_silent_one_gives_no_verdict(
    server: Server, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    of_the_run = ("--eval.policies", "[expert]", "--eval.splits", "[seen]", "--eval.episodes", "2")
    agentkd("eval", "--run", str(run), "--recipe", "household_small", *of_the_run)
    model = json.dumps({"model": server.model, "base_urls": [server.url]})
    judge = ("judge", "--run", str(run), "--policy", "expert", "--split", "seen")
    settings = ("--judge.when", "always", "--judge.models", f"[{model}]")

    before = len(server.conditioned())
    said = agentkd(*judge, *settings)
    asked = server.conditioned()[before:]
    assert "2 goals" in said
    assert len(asked) == 2
    assert all(INSTRUCTIONS.splitlines()[0] in prompt for prompt in asked)

    kept = json.loads((run / "judged" / "expert-seen.json").read_text())
    labels = [one["label"] for one in kept["judgements"]]
    reached, silent = labels.count("success"), labels.count(None)
    assert f"{reached} of {2 - silent} goals reached" in said
    assert (f"{silent} without a verdict" in said) == (silent > 0)
    assert kept["agreement"][0]["goals"] == 2 - silent
    entries = [json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines()]
    assert [entry["role"] for entry in entries] == ["judge", "judge"]
    assert all(entry["completion_tokens"] > 0 for entry in entries)

    again = agentkd(*judge, *settings)
    assert len(server.conditioned()) == before + 2
    assert f"{reached} of {2 - silent} goals reached" in again
