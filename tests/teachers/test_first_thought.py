"""The first-thought prefix: the text that was continued is the text that is logged, to the byte."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import anyio
import pytest
import torch
from agentkd_envs import Task, make_env
from fault_server import Body, Fault, FaultServer
from transformers import (
    AddedToken,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
)

from agentkd.calls import Caller, Ledger, Patience
from agentkd.calls.continuation import Continuation, ContinuationMode
from agentkd.calls.openai_client import OpenAIClient
from agentkd.episode import run_episode
from agentkd.errors import ConfigError, ContinuationError
from agentkd.policies import ExpertPolicy, Policy, RandomPolicy
from agentkd.policies.chat import ChatPolicy
from agentkd.policies.first_thought import FirstThoughtPolicy, first_thought
from agentkd.policies.student import StudentPolicy
from agentkd.prompts import CanBegin, action_format
from agentkd.students.decoder import Sampling
from agentkd.students.tiny import BASE
from agentkd.train.labels import ChatRenderer
from agentkd.trajectory import Message, Trajectory

TEMPLATES = ("chatml", "qwen2_5", "llama3")
REASONING = "The mug may be on the desk.\nI look there. \n\nAnswer: on the desk"
THOUGHT = "The mug may be on the desk.\nI look there."
PREFIX = f"Thought: {THOUGHT}\n\n"


def tokenizer(template: str) -> PreTrainedTokenizerBase:
    loaded = AutoTokenizer.from_pretrained(str(BASE))
    if template != "chatml":
        source = files("trl") / "chat_templates" / f"{template}.jinja"
        loaded.chat_template = source.read_text(encoding="utf-8")
        loaded.bos_token = "<|begin_of_text|>"
        ends = [AddedToken(text, special=True) for text in ("<|im_end|>", "<|eot_id|>")]
        loaded.add_tokens(ends, special_tokens=True)
    return loaded


@pytest.fixture(params=TEMPLATES)
def template(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    tokenizer(request.param).save_pretrained(tmp_path / request.param)
    return tmp_path / request.param


def answer(body: Body) -> str:
    if "prompt" in body or body["messages"][-1]["role"] == "assistant":
        return "So I look.\n```python\nlook\n```"
    is_reasoning = "step by step" in body["messages"][0]["content"]
    return REASONING if is_reasoning else "Thought: on.\n```python\ninventory\n```"


def uncounted(request: Any) -> Fault:
    return Fault(change=lambda good: {**good, "usage": {}})


def teacher(server: FaultServer, mode: ContinuationMode, folder: Path | None) -> Policy:
    way = Continuation(mode, str(folder) if folder else None)
    client = OpenAIClient("stub", continuation=way)
    patience = Patience(tries=2, patience_s=5.0, backoff_s=0.01)
    caller = Caller(client, [server.url], ledger=Ledger(), patience=patience)
    return FirstThoughtPolicy(ChatPolicy(caller, max_tokens=50))


def play(policy: Policy, style: str = "codeact", steps: int = 2) -> Trajectory:
    env = make_env("household", preset="small")

    async def go() -> Trajectory:
        async with policy:
            return await run_episode(
                policy,
                env,
                env.tasks("train", 1)[0],
                action_format(style),
                max_steps=steps,
                system_prompt="You play a game.",
            )

    try:
        return anyio.run(go)
    except* (ContinuationError, ConfigError) as group:
        raise group.exceptions[0] from None


def play_question(policy: Policy, task: Task, style: str, source: str) -> Trajectory:
    async def go() -> Trajectory:
        async with policy:
            env, form = make_env("questions", source=source), action_format(style)
            return await run_episode(policy, env, task, form, max_steps=8)

    return anyio.run(go)


@pytest.mark.parametrize("mode", ["token_ids", "text"])
def test_over_completions_the_prompt_ends_with_the_prefix(
    template: Path, mode: ContinuationMode
) -> None:
    with FaultServer(answer, uncounted) as server:
        trajectory = play(teacher(server, mode, template))
        reasoning, begun, later = server.requests
    renderer = ChatRenderer(AutoTokenizer.from_pretrained(str(template)))
    prompt = begun.body["prompt"]
    conditioned = renderer.decode(prompt) if mode == "token_ids" else prompt
    first = trajectory.steps[0]
    assert first.text.startswith(PREFIX)
    written = first.text.removeprefix(PREFIX)
    assert written == answer(begun.body)
    whole = renderer.render(trajectory.prompt, generate=True) + first.text
    start = str(renderer.tokenizer.bos_token or "")
    if mode == "text" and not whole.startswith(conditioned):
        conditioned = start + conditioned
    assert (conditioned + written).encode() == whole.encode()
    assert reasoning.path.endswith("/chat/completions")
    assert [m["role"] for m in reasoning.body["messages"]] == ["system", "user"]
    assert reasoning.body["messages"][1]["content"] == trajectory.prompt[1].content
    assert later.body["messages"][2]["content"] == first.text
    assert len(later.body["messages"]) == 4


def test_the_flag_is_used_where_the_template_keeps_the_prefix_and_refused_elsewhere(
    template: Path,
) -> None:
    with FaultServer(answer, uncounted) as server:
        policy = teacher(server, "continue_final_message", template)
        if template.name == "llama3":
            with pytest.raises(ContinuationError, match="alters the text"):
                play(policy)
            assert server.requests == []
            return
        trajectory = play(policy)
        begun = server.requests[1].body
    assert begun["continue_final_message"] is True
    assert begun["messages"][-1] == {"role": "assistant", "content": PREFIX}
    assert trajectory.steps[0].text == PREFIX + answer(begun)


def test_a_teacher_that_cannot_continue_is_refused_before_the_first_call() -> None:
    with FaultServer(answer) as server:
        with pytest.raises(ContinuationError, match=r"teacher\.continuation"):
            play(teacher(server, "refuse", None))
        with pytest.raises(ConfigError, match="no thought to begin with"):
            play(teacher(server, "refuse", None), "bare")
        assert server.requests == []
    with pytest.raises(ConfigError, match="random"):
        FirstThoughtPolicy(RandomPolicy())


@pytest.mark.parametrize("style", ["codeact", "react"])
@pytest.mark.parametrize("source", ["world", "sums"])
def test_an_expert_goes_on_from_what_its_reasoner_thought(style: str, source: str) -> None:
    env = make_env("questions", source=source)
    for task in env.tasks("train", 3):
        plain, begun = (
            play_question(policy, task, style, source)
            for policy in (ExpertPolicy(), FirstThoughtPolicy(ExpertPolicy(), "sentence"))
        )
        facts = begun.steps[0].info["first_thought"]
        thought = first_thought(facts["chain_of_thought"], "sentence")
        form = action_format(style)
        assert isinstance(form, CanBegin)
        assert facts["prefix"] == form.begin(thought)
        assert begun.steps[0].text.startswith(facts["prefix"] + plain.steps[0].thought)
        assert [step.action for step in begun.steps] == [step.action for step in plain.steps]
        assert [step.text for step in begun.steps[1:]] == [step.text for step in plain.steps[1:]]
        assert plain.outcome.success and begun.outcome.success
        assert begun.policy.name == "expert+ftp"


def test_an_environment_without_a_reasoner_has_no_first_thought() -> None:
    with pytest.raises(ConfigError, match="no expert that answers at once"):
        play(FirstThoughtPolicy(ExpertPolicy()))


def test_the_record_says_what_was_taken_over_and_what_it_cost() -> None:
    with FaultServer(answer) as server:
        way = Continuation("text", str(BASE))
        client = OpenAIClient("stub", continuation=way)
        way.check_prompt_tokens = lambda messages, counted: None  # type: ignore[method-assign]
        policy = FirstThoughtPolicy(ChatPolicy(Caller(client, [server.url])))
        trajectory = play(policy)
    first, second = trajectory.steps
    facts = first.info["first_thought"]
    assert facts["prefix"] == PREFIX
    assert facts["chain_of_thought"] == REASONING
    assert facts["completion_tokens"] == len(REASONING) // 4 + 1
    assert "first_thought" not in second.info
    assert trajectory.usage.prompt_tokens == server.usage["prompt_tokens"]
    assert trajectory.usage.completion_tokens == server.usage["completion_tokens"]
    assert trajectory.policy.name.endswith("+ftp")
    assert first.thought == f"{THOUGHT}\n\nSo I look."
    assert first.action == "look"


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_local_teacher_reads_the_very_text_that_is_logged(name: str) -> None:
    loaded = tokenizer(name)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(loaded),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=4096,
        )
    ).eval()
    read: list[list[int]] = []
    model.register_forward_pre_hook(
        lambda module, arguments, given: read.append(given["input_ids"][0].tolist()),
        with_kwargs=True,
    )
    policy = StudentPolicy(
        model, loaded, name="local", author="teacher", sampling=Sampling(12, 0.9)
    )
    trajectory = play(FirstThoughtPolicy(policy), steps=1)
    first = trajectory.steps[0]
    prefix = first.info["first_thought"]["prefix"]
    renderer = ChatRenderer(loaded)
    assert prefix.startswith("Thought: ")
    prompts = [tokens for tokens in read if len(tokens) > 1]
    conditioned = renderer.decode(prompts[-1])
    assert conditioned == renderer.render(trajectory.prompt, generate=True) + prefix
    assert first.text.startswith(prefix)
    own = [token for token in first.token_ids or () if token != renderer.end_of_turn_id]
    assert first.text == prefix + renderer.decode(own)


@pytest.mark.parametrize(
    ("text", "until", "thought"),
    [
        (REASONING, "paragraph", THOUGHT),
        (REASONING, "sentence", "The mug may be on the desk."),
        ("Thought: First this.\n  \nThen that.", "paragraph", "First this."),
        ("\n\nOnly one", "sentence", "Only one"),
        ("Is it 3.5? No.", "sentence", "Is it 3.5?"),
        ("", "paragraph", ""),
    ],
)
def test_the_first_thought_of_a_chain(text: str, until: Any, thought: str) -> None:
    assert first_thought(text, until) == thought


def test_a_silent_chain_of_thought_leaves_the_action_alone() -> None:
    def silent(body: Body) -> str:
        return "" if "step by step" in body["messages"][0]["content"] else answer(body)

    with FaultServer(silent, uncounted) as server:
        trajectory = play(teacher(server, "text", BASE), steps=1)
    assert trajectory.steps[0].info["first_thought"]["prefix"] == ""
    assert trajectory.messages()[-1] == Message(
        "assistant", "Thought: on.\n```python\ninventory\n```"
    )
