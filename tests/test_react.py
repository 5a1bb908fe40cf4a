"""The ReAct format: what is written is read back; what small models write is still understood."""

import pytest
from agentkd_envs import make_env
from hypothesis import given
from hypothesis import strategies as st

from agentkd.prompts import ReactFormat, action_format

line = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=60
).map(str.strip)
words = line.filter(lambda s: s and s.strip("`*_>#- \t") == s and ":" not in s)


@given(thought=words, action=words)
def test_what_is_rendered_is_parsed_back(thought: str, action: str) -> None:
    parsed = ReactFormat().parse(ReactFormat().render(thought, action))
    assert (parsed.thought, parsed.action, parsed.error) == (thought, action, None)


@given(st.text(max_size=200))
def test_parsing_never_raises_and_always_decides(text: str) -> None:
    parsed = ReactFormat().parse(text)
    assert (parsed.action is None) == (parsed.error is not None)


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("Action: go to desk 1", "go to desk 1"),
        ("thought: hm\naction: look", "look"),
        ("**Thought:** hm\n**Action:** open drawer 2", "open drawer 2"),
        ("Thought: hm\n\nAction:   `use desklamp 1`  ", "use desklamp 1"),
        ("Action: a\nAction: b", "a"),
        ("Action:\nAction: b", "b"),
        ("Thought: I take Action: now\nAction: take mug 1 from desk 1", "take mug 1 from desk 1"),
        ("Action: look\nObservation: You see", "look"),
    ],
)
def test_tolerance(text: str, action: str) -> None:
    assert ReactFormat().parse(text).action == action


@pytest.mark.parametrize(
    ("text", "finish_reason", "error"),
    [
        ("I would look around", "stop", "malformed"),
        ("", "stop", "malformed"),
        ("Thought: this goes on and", "length", "truncated"),
        ("Thought: x\nAction: go to cab", "length", "truncated"),
        ("Action:", "stop", "malformed"),
    ],
)
def test_truncated_is_not_malformed(text: str, finish_reason: str, error: str) -> None:
    assert ReactFormat().parse(text, finish_reason).error == error


def test_a_complete_action_before_the_cut_is_kept() -> None:
    assert ReactFormat().parse("Action: look\nmore and mo", "length").action == "look"


def test_the_system_prompt_says_what_the_environment_says() -> None:
    spec = make_env("household").spec
    assert spec.description.strip() in action_format("react").system_prompt(spec)
