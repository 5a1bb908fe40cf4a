"""Why episodes fail: one cause each, as it is defined, and never for what is not a failure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import pytest
from agentkd_envs import Task
from hypothesis import given
from hypothesis import strategies as st

from agentkd.evaluate.failures import DEFINITIONS, FailureCause, failure_cause
from agentkd.evaluate.summary import summarise
from agentkd.policies import ExpertPolicy, RandomPolicy, ScriptedPolicy
from agentkd.policies.mistakes import ErringExpertPolicy
from agentkd.trajectory import Message, Outcome, PolicyInfo, Step, Trajectory

GOAL = "You are in a room. You see a desk 1.\n\nYour task is to: put a hot mug in cabinet."
CUT_OFF = Outcome(0.0, False, "budget", "max_steps")
OWN_END = Outcome(0.0, False, "ok", "failure")


def episode(steps: Sequence[Step], outcome: Outcome = CUT_OFF) -> Trajectory:
    return Trajectory(
        id="1",
        task=Task("household", "unseen", 0, "heat", {"number": 0}),
        policy=PolicyInfo("student", "student"),
        prompt=(Message("system", "Take knives from drawers."), Message("user", GOAL)),
        steps=tuple(steps),
        outcome=outcome,
    )


def do(*actions: str, answer: str = "", **changes: Any) -> list[Step]:
    """Steps whose answers differ, unless `answer` says what all of them are."""
    return [
        Step(f"Action: {action}", answer or f"answer {n}", action=action, **changes)
        for n, action in enumerate(actions)
    ]


LOOKS = do(*["look"] * 20)
UNREADABLE = [Step("mug", "No action found.", valid=False, format_error="malformed")]
CUT_SHORT = [Step("Thought: a", "Cut off.", valid=False, format_error="truncated")]
IMPOSSIBLE = do(*[f"open desk {n}" for n in range(10)], valid=False)


@pytest.mark.parametrize(
    ("steps", "cause"),
    [
        (LOOKS, "step_limit"),
        ([], "step_limit"),
        ([*LOOKS, *UNREADABLE * 5], "format"),
        ([*LOOKS, *UNREADABLE * 4], "step_limit"),
        ([*UNREADABLE * 20, *LOOKS], "step_limit"),
        ([*LOOKS, *UNREADABLE * 2, *CUT_SHORT * 3], "truncated"),
        ([*LOOKS, *IMPOSSIBLE], "invalid_action"),
        ([*LOOKS, *do(*["go to desk 1"] * 4, answer="same")], "repeated_loop"),
        ([*LOOKS, *do(*["go to desk 1"] * 3, answer="same")], "step_limit"),
        ([*LOOKS, *do(*["go to desk 1"] * 4)], "step_limit"),
        ([*do(*["go to desk 1"] * 9, answer="same"), *LOOKS], "step_limit"),
        ([*LOOKS, *do(*["a", "b", "c"] * 4, answer="same")], "repeated_loop"),
        ([*LOOKS, *do(*["a", "b", "c"] * 3, answer="same")], "step_limit"),
        ([*LOOKS, *do(*"abcdefabcdefabcdefabcdef", answer="same")], "step_limit"),
        (
            [*LOOKS, *do(*["open desk 1"] * 10, answer="Nothing happens.", valid=False)],
            "repeated_loop",
        ),
        ([*UNREADABLE * 30], "format"),
        ([*LOOKS, *do("take knife 1 from desk 1")], "wrong_object"),
        ([*LOOKS, *do("take knife 1 from desk 1", "heat mug 2 with microwave 1")], "step_limit"),
        ([*LOOKS, *do("take knife 1 from desk 1", valid=False)], "step_limit"),
        ([*LOOKS, *do("pick up butter knife in desk")], "wrong_object"),
        ([*LOOKS, *do("go to desk 1", "for x in range(3): print(x)")], "step_limit"),
        ([*LOOKS, *do(*"abcdef", info={"error": "ValueError"})], "tool_error"),
        ([*LOOKS, *do(*"abcdef", info={"status": "crash"})], "tool_error"),
        ([*LOOKS, *do(*"abcdef", info={"status": "limit", "limit": "wall"})], "sandbox_limit"),
        ([*LOOKS, *do(*"abcdef", info={"status": "ok", "error": "", "limit": None})], "step_limit"),
    ],
)
def test_an_episode_that_was_cut_off(steps: Sequence[Step], cause: FailureCause) -> None:
    assert failure_cause(episode(steps)) == cause
    by_context = Outcome(0.0, False, "budget", "context")
    expected = "budget" if cause == "step_limit" else cause
    assert failure_cause(episode(steps, by_context)) == expected


@pytest.mark.parametrize(
    ("steps", "outcome", "cause"),
    [
        (LOOKS, OWN_END, "premature_finish"),
        ([], OWN_END, "premature_finish"),
        (LOOKS, replace(OWN_END, reward=0.5), "wrong_object"),
        (do("move knife 1 to cabinet 1", "finish"), OWN_END, "wrong_object"),
        (do("move mug 1 to cabinet 1", "finish"), OWN_END, "premature_finish"),
        (do("finish", info={"error": "NameError"}), OWN_END, "tool_error"),
        ([*LOOKS, *IMPOSSIBLE[:1]], OWN_END, "invalid_action"),
        ([*LOOKS, *UNREADABLE], Outcome(0.0, False, "format", "format_limit"), "format"),
        ([*LOOKS, *CUT_SHORT], Outcome(0.0, False, "format", "format_limit"), "truncated"),
        (LOOKS, Outcome(0.0, False, "ok", "error"), "other"),
    ],
)
def test_an_episode_that_was_ended(
    steps: Sequence[Step], outcome: Outcome, cause: FailureCause
) -> None:
    assert failure_cause(episode(steps, outcome)) == cause


def test_successes_and_broken_machines_have_no_cause() -> None:
    assert failure_cause(episode(LOOKS, Outcome(1.0, True, "ok", "success"))) is None
    for status in ("env_error", "sandbox_error", "provider_error"):
        assert failure_cause(episode(LOOKS, Outcome(0.0, False, status, "error", "died"))) is None


def test_a_goal_without_its_usual_sentence_is_looked_for_in_all_that_was_said() -> None:
    prompt = (Message("user", "Put the mugs away."),)
    other = replace(episode(do("take mug 1 from desk 1")), prompt=prompt)
    assert failure_cause(other) == "step_limit"
    assert failure_cause(replace(other, prompt=())) == "wrong_object"


def test_every_cause_is_defined() -> None:
    assert set(DEFINITIONS) == set(get_args(FailureCause))


STEPS = st.builds(
    Step,
    st.text(max_size=5),
    st.sampled_from(["same", "other"]),
    action=st.none() | st.sampled_from(["look", "take knife 1 from desk 1", "take mug 1 from a"]),
    format_error=st.sampled_from([None, None, "malformed", "truncated"]),
    valid=st.booleans(),
    info=st.sampled_from([{}, {"error": "E"}, {"limit": "cpu"}]),
)
OUTCOMES = st.builds(
    Outcome,
    st.sampled_from([0.0, 0.5, 1.0]),
    st.booleans(),
    st.sampled_from(["ok", "budget", "format", "env_error"]),
    st.sampled_from(["success", "failure", "max_steps", "format_limit", "context", "error"]),
)


@given(st.lists(st.builds(episode, st.lists(STEPS, max_size=14), OUTCOMES), max_size=12))
def test_causes_add_up_to_the_failures(episodes: list[Trajectory]) -> None:
    result = summarise("student", "unseen", episodes)
    assert sum(result.failures.values()) == result.episodes - result.successes
    assert set(result.failures) <= set(DEFINITIONS)


def test_real_episodes(play) -> None:
    def causes(policy, **options: Any) -> set[FailureCause | None]:
        return {failure_cause(one) for one in play(policy, **options)}

    assert causes(ExpertPolicy()) == {None}
    assert causes(ExpertPolicy(), max_steps=2) == {"step_limit"}
    chatter = ScriptedPolicy(lambda _: ["I would rather talk."] * 50)
    assert causes(chatter, count=2) == {"format"}
    stuck = ScriptedPolicy(lambda _: ["Action: look"] * 50)
    assert causes(stuck, count=2) == {"repeated_loop"}
    wishful = ScriptedPolicy(lambda _: [f"Action: eat apple {n}" for n in range(50)])
    assert causes(wishful, count=2) == {"invalid_action"}
    assert causes(RandomPolicy(), max_steps=20) <= {None, "wrong_object", "step_limit"}
    assert causes(ErringExpertPolicy(1.0), max_steps=12) <= set(DEFINITIONS)
