"""Recipes, overrides and run folders: mistakes are named, nothing is mixed."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkd.cli.overrides import split_overrides
from agentkd.errors import ConfigError, MissingStageError, RunChangedError, StorageError
from agentkd.recipe import (
    Recipe,
    build_recipe,
    flat,
    recipe_values,
    setting_help,
    shipped_recipes,
)
from agentkd.run_folder import RunFolder


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_is_valid_and_says_what_it_shows(name: str) -> None:
    recipe = build_recipe(recipe_values(name), {})
    assert recipe.name == name
    assert recipe.description


def test_overrides_are_typed() -> None:
    overrides = {
        "train.epochs": "2.5",
        "train.lora.r": "4",
        "eval.splits": "[unseen]",
        "env.options.preset": "full",
        "train.max_tokens": "null",
    }
    recipe = build_recipe(recipe_values("household_small"), overrides)
    assert recipe.train.epochs == 2.5
    assert recipe.train.lora is not None and recipe.train.lora.r == 4
    assert recipe.eval.splits == ["unseen"]
    assert recipe.env.options == {"preset": "full"}


def test_another_environment_does_not_inherit_options() -> None:
    values = recipe_values("household_small")
    assert build_recipe(values, {"env.name": "household"}).env.options == {"preset": "small"}
    assert build_recipe(values, {"env.name": "shop"}).env.options == {}
    remote = build_recipe(values, {"env.options.url": "http://x", "env.name": "http"})
    assert remote.env.options == {"url": "http://x"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"train.epoch": "3"}, "unknown setting 'train.epoch'. Did you mean 'train.epochs'"),
        ({"trian.epochs": "3"}, "unknown setting 'trian'"),
        ({"train.epochs": "many"}, "train.epochs: .*'many'"),
        ({"collect.episodes": "0"}, "collect.episodes: .*greater than or equal to 1"),
        ({"name.x": "1"}, "'name' is a value"),
    ],
)
def test_a_wrong_setting_is_named(overrides: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_recipe(recipe_values("household_small"), overrides)


@pytest.mark.parametrize(
    ("content", "message"),
    [("train: [", "not YAML"), ("- a\n- b", "mapping"), ("train: {epoch: 1}", "Did you mean")],
)
def test_a_wrong_recipe_file_is_explained(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        build_recipe(recipe_values(str(path)), {})


def test_an_unknown_recipe_lists_those_that_ship() -> None:
    with pytest.raises(ConfigError, match=r"household_small.*Did you mean 'household_small'"):
        recipe_values("household_smal")


def test_every_setting_has_help() -> None:
    rows = setting_help()
    assert len(rows) > 30
    unexplained = {name for name, _, text in rows if not text} - {
        f"{section}" for section in Recipe.model_fields
    }
    assert not unexplained


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]+\.[a-z_]+", fullmatch=True),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=10).filter(
            lambda value: not value.startswith("--")
        ),
        max_size=4,
    ),
    st.booleans(),
)
def test_overrides_are_taken_out_of_the_command_line(values: dict[str, str], joined: bool) -> None:
    arguments = ["train", "--run", "runs/x"]
    for name, value in values.items():
        arguments += [f"--{name}={value}"] if joined else [f"--{name}", value]
    assert split_overrides(arguments) == (["train", "--run", "runs/x"], values)


@pytest.mark.parametrize("arguments", [["--train.epochs"], ["--train.epochs", "--run"]])
def test_an_override_without_value_is_refused(arguments: list[str]) -> None:
    with pytest.raises(ConfigError, match="needs a value"):
        split_overrides(arguments)


def test_a_run_refuses_other_settings_and_names_them(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    recipe = build_recipe(recipe_values("household_small"), {})
    run.claim("collect", recipe)
    run.claim("collect", recipe)
    other = build_recipe(
        recipe_values("household_small"), {"collect.seed": "7", "env.options.preset": "full"}
    )
    with pytest.raises(RunChangedError) as caught:
        run.claim("collect", other)
    assert set(caught.value.changes) == {"collect.seed", "env.options.preset"}
    assert "was 0, is now 7" in str(caught.value)


def test_what_only_changes_the_speed_may_change(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.claim("collect", build_recipe(recipe_values("household_small"), {}))
    run.claim(
        "collect", build_recipe(recipe_values("household_small"), {"collect.concurrency": "2"})
    )


def test_a_run_remembers_its_recipe(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    recipe = build_recipe(recipe_values("household_small"), {"collect.episodes": "7"})
    run.claim("collect", recipe)
    assert build_recipe(RunFolder(tmp_path).recipe_values(), {}) == recipe
    assert json.loads(run.manifest.read_text())["versions"]["agentkd"]


def test_a_damaged_config_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(StorageError, match="damaged"):
        RunFolder(tmp_path).recipe_values()


def test_a_missing_stage_names_its_command(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    with pytest.raises(MissingStageError, match=r"agentkd collect --run"):
        run.require(run.trajectories, "collect")


def test_flat_keeps_empty_mappings() -> None:
    assert flat({"a": {"b": 1, "c": {}}}) == {"a.b": 1, "a.c": {}}
