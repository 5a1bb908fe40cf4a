"""The TRL adapter: tools as TRL and transformers read them, and a rollout as TRL drives it."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import trl
from agentkd_envs import EnvError, HasExpert, UnknownNameError, make_env
from agentkd_envs.adapters.trl import EpisodeOverError, trl_environment, trl_rows
from agentkd_envs.adapters.verbs import Verb, verbs_of
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from transformers.utils import get_json_schema
from trl import GRPOConfig, GRPOTrainer

HOUSEHOLD_VERBS = {
    *("go_to", "take", "put", "open", "close", "heat", "clean", "cool"),
    *("examine", "use", "look", "inventory"),
}


def tools(environment: Any) -> dict[str, Any]:
    """Collect the tools of an environment by TRL's rule: public functions of its class."""
    members = inspect.getmembers(type(environment), predicate=inspect.isfunction)
    return {
        name: getattr(environment, name)
        for name, _ in members
        if name not in ("reset", "get_reward") and not name.startswith("_")
    }


def call(environment: Any, command: str) -> str:
    """Call the tool that a command of the household stands for."""
    words = command.replace("go to", "go_to").split(" ")
    for preposition in ("from", "to", "with", "in/on"):
        if preposition in words[1:]:
            cut = words.index(preposition)
            thing, place = " ".join(words[1:cut]), " ".join(words[cut + 1 :])
            name = "put" if words[0] == "move" else words[0]
            return str(tools(environment)[name](object=thing, receptacle=place))
    rest = " ".join(words[1:])
    tool = tools(environment)[words[0]]
    return str(tool(*([rest] if rest else [])))


def test_every_verb_is_a_tool_with_a_schema() -> None:
    found = tools(trl_environment("household")())
    assert set(found) == HOUSEHOLD_VERBS
    schemas = {name: get_json_schema(tool)["function"] for name, tool in found.items()}
    assert {name: schema["name"] for name, schema in schemas.items()} == {n: n for n in found}
    assert all(schema["description"] for schema in schemas.values())
    taken = schemas["take"]["parameters"]
    assert taken["required"] == ["object", "receptacle"]
    assert taken["properties"]["object"]["type"] == "string"
    assert taken["properties"]["receptacle"]["description"]
    assert not schemas["look"]["parameters"]["properties"]


@pytest.mark.parametrize("env", ["household", "shop", "another"])
def test_the_verbs_of_every_environment_have_schemas(env: str) -> None:
    made = type("Tools", (), {verb.name: verb.method(lambda *_: "") for verb in verbs_of(env)})()
    for name, tool in tools(made).items():
        assert get_json_schema(tool)["function"]["name"] == name
    assert env != "shop" or set(tools(made)) == {"search", "click"}
    assert env != "another" or set(tools(made)) == {"act"}


@pytest.mark.parametrize("dialect", ["move", "put"])
@pytest.mark.parametrize("number", range(6))
async def test_a_rollout_is_scored_by_the_environment(dialect: str, number: int) -> None:
    options = {"preset": "small", "dialect": dialect}
    environment = trl_environment("household", **options)()
    row = trl_rows("household", split="seen", count=1, first=number, **options)[0]
    assert environment.get_reward() == 0.0
    text = environment.reset(**row)
    plain = make_env("household", **options)
    assert isinstance(plain, HasExpert)
    assert text == "\n\n" + (await plain.reset(plain.tasks("seen", 1, number)[0])).text
    expert = plain.expert()
    move = expert.first(text)
    while environment.get_reward() == 0.0:
        answer = call(environment, move.action)
        assert answer != "Nothing happens."
        move = expert.next(answer)
    assert environment.get_reward() == 1.0
    with pytest.raises(EpisodeOverError, match="over"):
        tools(environment)["look"]()
    environment.reset(**row)
    assert environment.get_reward() == 0.0


def test_a_group_plays_one_task_and_instances_are_apart() -> None:
    make = trl_environment("household", preset="small")
    one, other = make(), make()
    row = trl_rows("household", count=1, preset="small")[0]
    assert one.reset(**row) == other.reset(**row)
    tools(one)["look"]()
    assert tools(one)["inventory"]() == tools(other)["inventory"]()


def test_the_step_limit_and_wrong_calls_raise_what_trl_shows_to_the_model() -> None:
    environment = trl_environment("household", max_steps=2, preset="small")()
    with pytest.raises(EpisodeOverError, match="No task"):
        tools(environment)["look"]()
    environment.reset(index=0)
    with pytest.raises(TypeError, match="receptacle"):
        tools(environment)["go_to"]()
    with pytest.raises(TypeError):
        tools(environment)["go_to"](place="desk 1")
    assert tools(environment)["go_to"](receptacle="nowhere 9") == "Nothing happens."
    tools(environment)["look"]()
    with pytest.raises(EpisodeOverError, match="Stop"):
        tools(environment)["look"]()


def test_verbs_can_be_ones_own() -> None:
    wave = Verb("wave", "Wave.", ("look",))
    environment = trl_environment("household", verbs=[wave], preset="small")()
    environment.reset(index=0)
    assert set(tools(environment)) == {"wave"}
    assert "room" in tools(environment)["wave"]()


def test_mistakes_are_named() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'household'"):
        trl_environment("houshold")
    with pytest.raises(EnvError, match="colour"):
        trl_environment("household", colour="red")
    with pytest.raises(TypeError, match="index"):
        trl_environment("household")().reset(prompt="")


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_trls_trainer_takes_the_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step of GRPO with a model of random weights, which calls no tool and earns nothing."""
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    letters = Tokenizer(BPE({c: i for i, c in enumerate(sorted(ByteLevel.alphabet()))}, []))
    letters.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=letters, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    template = Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja"
    tokenizer.chat_template = template.read_text()
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=16,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    look = [verb for verb in verbs_of("household") if verb.name == "look"]
    trainer = GRPOTrainer(
        model=Qwen3ForCausalLM(config),
        args=GRPOConfig(
            output_dir=str(tmp_path),
            max_steps=1,
            per_device_train_batch_size=2,
            num_generations=2,
            max_completion_length=1,
            report_to=[],
            use_cpu=True,
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(trl_rows("household", count=2, preset="small")),
        processing_class=tokenizer,
        environment_factory=trl_environment("household", verbs=look, preset="small"),
    )
    trainer.train()
    assert [tool.__name__ for tool in trainer.tools] == ["look"]
    assert trainer.state.log_history[0]["rewards/HouseholdEnvironment/mean"] == 0.0
    assert {environment.get_reward() for environment in trainer.environments} == {0.0}
