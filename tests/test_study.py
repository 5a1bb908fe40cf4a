"""Studies: planned as the file says, made once, resumed, and told in one table."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentkd.errors import ConfigError
from agentkd.study import PlannedRun, chosen, plan, read_study

QUICK = {"eval.episodes": 4, "agent.max_steps": 6}


def study_file(folder: Path, runs: dict[str, Any], **values: Any) -> Path:
    path = folder / "study.yaml"
    study = {"name": "tried", "recipe": "household_small", "runs": runs, **values}
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def planned(folder: Path, runs: dict[str, Any], **values: Any) -> list[PlannedRun]:
    return plan(read_study(study_file(folder, runs, **values)), folder / "out", {})


def agentkd(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agentkd", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=check, timeout=300)


def test_a_seed_is_that_of_every_stage_unless_the_run_says_otherwise(tmp_path: Path) -> None:
    runs = planned(tmp_path, {"a": {"seeds": [3, 4], "set": {"collect": {"seed": 7}}}, "b": {}})
    assert [(one.title, one.folder.relative_to(tmp_path)) for one in runs] == [
        ("a, seed 3", Path("out/a/seed-3")),
        ("a, seed 4", Path("out/a/seed-4")),
        ("b", Path("out/b")),
    ]
    seeds = [(r.recipe.collect.seed, r.recipe.train.seed, r.recipe.eval.seed) for r in runs]
    assert seeds == [(7, 3, 3), (7, 4, 4), (0, 0, 0)]
    assert runs[2].stages == ("collect", "curate", "train", "eval")


def test_settings_keep_their_types_and_lie_over_the_recipe(tmp_path: Path) -> None:
    changes = {"train": {"learning_rate": 2e-05, "lora": {"r": 4}}, "eval.splits": ["seen"]}
    (run,) = planned(tmp_path, {"a": {"set": changes}})
    assert run.recipe.train.learning_rate == 2e-05
    assert run.recipe.train.lora is not None
    assert run.recipe.train.lora.r == 4
    assert run.recipe.eval.splits == ["seen"]
    assert run.recipe.env.options == {"preset": "small"}


def test_a_reference_is_the_folder_of_the_same_seed_and_orders_the_runs(tmp_path: Path) -> None:
    runs = planned(
        tmp_path,
        {
            "last": {"seeds": [1], "set": {"train.student": "{run:mid}/student"}},
            "mid": {"seeds": [0, 1], "set": {"train.student": "{run:first}/student"}},
            "first": {},
            "free": {"set": {"train.student": "{run:mid/seed-0}/student"}},
        },
    )
    assert [one.title for one in runs] == [
        *("first", "mid, seed 0", "mid, seed 1", "last, seed 1", "free"),
    ]
    out = tmp_path / "out"
    assert [one.recipe.train.student for one in runs[1:]] == [
        f"{out}/first/student",
        f"{out}/first/student",
        f"{out}/mid/seed-1/student",
        f"{out}/mid/seed-0/student",
    ]
    study = read_study(tmp_path / "study.yaml")
    only = chosen(study, runs, ["free"])
    assert [one.title for one in only] == ["first", "mid, seed 0", "mid, seed 1", "free"]


REFER = {"train.student": "{run:b}/student"}


@pytest.mark.parametrize(
    ("runs", "values", "message"),
    [
        ({"a": {"stges": ["eval"]}}, {}, r"unknown key 'runs.a.stges'. Did you mean 'stages'"),
        ({"a": {}}, {"despit": []}, "unknown key 'despit'. Did you mean 'despite'"),
        ({"a": {}}, {"compares": []}, "unknown key 'compares'. Did you mean 'compare'"),
        ({"a": {"stages": ["evla"]}}, {}, "'evla' is no stage. Did you mean 'eval'"),
        ({"a": {"set": {"train.epocs": 2}}}, {}, "run 'a': unknown setting 'train.epocs'. Did"),
        ({}, {}, "runs: .* at least 1"),
        ({"a": {}}, {"recipe": "household_smal"}, "Did you mean 'household_small'"),
        ({"a/b": {}}, {}, "'a/b' cannot be the name of a run"),
        ({"a": {"seeds": [1, 1]}}, {}, "names a seed twice"),
        ({"a": {"set": REFER}}, {}, r"run 'a' refers to {run:b}, but there is no run 'b'"),
        (
            {"a": {"set": REFER}, "b": {"set": {"x": "{run:a}"}}},
            {},
            "in a circle: a -> b -> a|b ->",
        ),
        ({"a": {"set": {"x": "{run:a}"}}}, {}, "in a circle: a -> a"),
        ({"a": {"set": REFER}, "b": {"seeds": [5]}}, {}, r"say which, as in {run:b/seed-5}"),
        ({"a": {}}, {"compare": [["a:student", "b:x"]]}, "there is no run 'b'"),
        ({"a": {}}, {"compare": [["a:studnet", "a:random"]]}, "Did you mean 'a:student'"),
        (
            {"a": {"stages": ["train"]}},
            {"compare": [["a:student", "a:student"]]},
            "there is: no evaluation",
        ),
    ],
)
def test_a_mistake_is_named_before_anything_starts(
    tmp_path: Path, runs: dict[str, Any], values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        planned(tmp_path, runs, **values)


def test_a_study_without_a_student_is_made_and_made_only_once(tmp_path: Path) -> None:
    path = study_file(
        tmp_path,
        {
            "played": {"stages": ["collect"], "set": {"collect": {"episodes": 2}}},
            "short": {"stages": ["eval"], "seeds": [0, 1], "set": QUICK},
            "long": {"stages": ["eval"], "set": {**QUICK, "agent": {"max_steps": 40}}},
        },
        compare=[["short:random", "short:expert"], ["short:expert", "long:expert"]],
    )
    out = tmp_path / "out"
    policies = ("--eval.policies", "[random, expert]")
    command = ("study", str(path), "--run", str(out), *policies)
    dry = agentkd(*command, "--dry-run")
    assert "short, seed 1" in dry.stdout
    assert not out.exists()
    collected = agentkd(*command, "--only", "played")
    assert f"nothing is evaluated yet; the whole study: agentkd study {path}" in collected.stdout
    one = agentkd(*command, "--only", "long")
    assert "short: not evaluated yet" in one.stdout
    assert not (out / "short").exists()
    agentkd(*command)
    stores = {store: store.read_bytes() for store in out.rglob("eval/*.jsonl")}
    assert len(stores) == 3 * 2 * 2
    again = agentkd(*command)
    assert again.stdout.count("eval: finished already") == 3
    assert {store: store.read_bytes() for store in out.rglob("eval/*.jsonl")} == stores
    assert "max_steps: 6 against 40" in again.stdout
    assert ", despite max_steps" not in (out / "RESULTS.md").read_text()
    path.write_text(path.read_text() + "despite: [max_steps]\n")
    let_pass = agentkd(*command)
    assert "long:expert against short:expert" in let_pass.stdout
    assert (
        "- long:expert against short:expert, despite max_steps: 40 against 6"
        in (out / "RESULTS.md").read_text()
    )
    results = json.loads((out / "results.json").read_text())
    rows = {
        (r["run"], r["result"]["policy"], r["result"]["split"]): r for r in results["standings"]
    }
    assert rows["short", "expert", "seen"]["seeds"] == [0, 1]
    assert rows["short", "expert", "seen"]["result"]["episodes"] == 8
    assert rows["long", "expert", "seen"]["result"]["episodes"] == 4
    assert {one["split"] for one in results["comparisons"]} == {"seen", "unseen"}
    page = (out / "RESULTS.md").read_text()
    assert f"agentkd study {path} --run {out} --eval.policies '[random, expert]'" in page
    assert "| short | expert | seen | 8 |" in page
    assert "cores" in page


def test_a_run_uses_what_another_has_trained(tmp_path: Path) -> None:
    quick = {**QUICK, "eval.episodes": 2, "eval.max_new_tokens": 8, "eval.splits": ["seen"]}
    train = {"collect.episodes": 20, "agent.max_steps": 40, "train.max_steps": 2}
    path = study_file(
        tmp_path,
        {
            "again": {
                "stages": ["eval"],
                "set": {
                    **quick,
                    "agent.max_steps": 40,
                    "eval.policies": ["untrained"],
                    "train.student": "{run:base}/student",
                },
            },
            "base": {"set": {**quick, **train, "eval.policies": ["student"]}},
        },
        compare=[["base:student", "again:untrained"]],
    )
    out = tmp_path / "out"
    made = agentkd("study", str(path), "--run", str(out))
    assert made.stdout.index("Run base") < made.stdout.index("Run again")
    results = json.loads((out / "results.json").read_text())
    (comparison,) = results["comparisons"]
    assert (comparison["tasks"], comparison["effect"]) == (2, 0.0)
    trained = {row["run"]: row["trained_tokens"] for row in results["standings"]}
    about = json.loads((out / "base" / "student" / "training.json").read_text())
    assert trained == {"base": about["trained_tokens_seen"], "again": None}
    resumed = agentkd("study", str(path), "--run", str(out))
    for stage in ("collect", "curate", "train", "eval"):
        assert f"{stage}: finished already" in resumed.stdout
    changed = agentkd("study", str(path), "--run", str(out), "--train.epochs", "3", check=False)
    assert changed.returncode == 2
    assert "train.epochs: was 1.0, is now 3.0" in changed.stderr
