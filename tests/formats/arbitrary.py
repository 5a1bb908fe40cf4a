"""Arbitrary records, with every field that a record can have."""

from hypothesis import strategies as st

from agentkd.trajectory import (
    Message,
    Outcome,
    PolicyInfo,
    Step,
    Task,
    Trajectory,
    Usage,
)

text = st.text(max_size=30)
numbers = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text, inner, max_size=2),
    max_leaves=4,
)
objects = st.dictionaries(text, json_values, max_size=2)
step_fields = dict(
    text=text,
    observation=text,
    action=st.none() | text,
    thought=text,
    format_error=st.sampled_from([None, "malformed", "truncated"]),
    reward=numbers,
    valid=st.booleans(),
    author=st.sampled_from(["teacher", "student", "base", "expert", "random", "critic"]),
    tag=st.sampled_from([None, "error", "reflection", "correction", "plan", "retrieved"]),
    loss=st.booleans() | st.floats(0, 2),
    reasoning=st.none() | text,
    token_ids=st.none() | st.lists(st.integers(0, 99), max_size=3).map(tuple),
    logprobs=st.none() | st.lists(numbers, max_size=3).map(tuple),
    candidates=st.lists(objects, max_size=2).map(tuple),
    usage=st.builds(
        Usage, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.none() | numbers
    ),
    from_cache=st.booleans(),
    latency_s=numbers,
    finish_reason=st.none() | text,
    info=objects,
)
steps = st.builds(Step, **step_fields)
tools = st.lists(st.dictionaries(text, json_values, min_size=1, max_size=2), max_size=2)
trajectory_fields = dict(
    id=text,
    task=st.builds(Task, text, text, st.integers(-9, 9), text, objects),
    policy=st.builds(
        PolicyInfo,
        st.sampled_from(["expert", "teacher", "mixed"]),
        text,
        st.none() | text,
        objects,
    ),
    prompt=st.lists(
        st.builds(Message, st.sampled_from(["system", "user", "assistant"]), text), max_size=3
    ).map(tuple),
    steps=st.lists(steps, max_size=3).map(tuple),
    outcome=st.builds(
        Outcome,
        numbers,
        st.booleans(),
        st.sampled_from(["ok", "budget", "format", "env_error", "unknown"]),
        st.sampled_from(["success", "failure", "max_steps", "error", "unknown"]),
        st.none() | text,
    ),
    attempt=st.integers(0, 3),
    seed=st.integers(0, 2**32),
    wall_s=numbers,
    format=text,
    prompt_hash=text,
    versions=st.dictionaries(st.sampled_from(["agentkd", "engine"]), text),
    parent_id=st.none() | text,
    pair_id=st.none() | text,
    hint=st.none() | objects,
    history=st.none() | st.integers(0, 3),
    extra=objects | tools.map(lambda definitions: {"tools": definitions}),
)
trajectories = st.builds(Trajectory, **trajectory_fields)
