"""Masked Thought and Skip-Thinking: what they change of a row, and what they leave."""

from functools import cache
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agentkd.errors import ConfigError
from agentkd.recipe import TrainSection
from agentkd.recipe.methods import MaskedThoughtSection
from agentkd.run_folder import RunFolder
from agentkd.students.load import load_student, load_tokenizer
from agentkd.train.labels import ChatRenderer, LabelledRow
from agentkd.train.methods import Job
from agentkd.train.methods.masked_thought import (
    MASKABLE,
    mask_rate,
    maskable_tokens,
    masked,
    stand_in_token,
)
from agentkd.train.methods.skip_thinking import chunk_of_tokens, rows_of_chunks
from agentkd.train.run import train
from agentkd.train.token_bytes import TokenBytes
from agentkd.trajectory import Message
from tests.train.small_runs import first_batch, trainer_of

WORDS = st.sampled_from(
    ["I see", " a mug", ".", " Then\n", "Go!", " é漢😀", " 1.5", "\n\n", "Action: look", ";", " "]
)
SAID = st.lists(WORDS, min_size=1, max_size=8).map("".join)


@cache
def tiny_renderer() -> ChatRenderer:
    return ChatRenderer(load_tokenizer("tiny"))


def labelled(thoughts: list[str]) -> tuple[ChatRenderer, LabelledRow]:
    renderer = tiny_renderer()
    messages = [Message("user", "Where is the mug?")]
    for thought in thoughts:
        messages += [Message("assistant", thought), Message("user", "Nothing. It is dark.\nNo.")]
    return renderer, renderer.label(messages, [m.role == "assistant" for m in messages])


def may_be_masked(row: LabelledRow, protect: str | None) -> list[int]:
    renderer = tiny_renderer()
    token_bytes = TokenBytes(renderer.tokenizer)
    end = renderer.end_of_turn_id
    return maskable_tokens(row.input_ids, row.labels, token_bytes, protect, end)


@given(st.lists(SAID, min_size=1, max_size=3), st.integers(1, 4))
def test_chunks_are_disjoint_and_together_the_row(thoughts: list[str], chunks: int) -> None:
    renderer, row = labelled(thoughts)
    rows = rows_of_chunks(row, TokenBytes(renderer.tokenizer), chunks, renderer.end_of_turn_id)
    assert 1 <= len(rows) <= chunks
    for place, label in enumerate(row.labels):
        assert all(part.input_ids == row.input_ids for part in rows)
        own = [part.labels[place] for part in rows if part.labels[place] != -100]
        assert own == ([label] if label != -100 else [])
    assert all(part.trained_tokens for part in rows)


def test_chunks_end_with_sentences() -> None:
    text = ["I look", ". ", "It", " is far. ", "So", " I go.\n", "Action: go", "<end>"]
    pieces = [part.encode() for part in text]
    assert chunk_of_tokens(pieces, 1) == [0] * 8
    assert chunk_of_tokens(pieces, 2) == [0, 0, 0, 0, 1, 1, 1, 1]
    assert chunk_of_tokens(pieces, 99) == [0, 0, 1, 1, 2, 2, 3, 3]


@given(st.lists(WORDS.map(str.encode), min_size=1, max_size=12), st.integers(1, 5))
def test_chunk_numbers_go_up_without_gaps(pieces: list[bytes], chunks: int) -> None:
    numbers = chunk_of_tokens(pieces, chunks)
    assert numbers[0] == 0 and max(numbers) < chunks
    assert all(0 <= later - sooner <= 1 for sooner, later in pairwise(numbers))


def test_skip_thinking_trains_more_rows_of_the_same_tokens(rows_run: RunFolder, small: str) -> None:
    plain = trainer_of(rows_run, student=small).train_dataset
    parts = trainer_of(
        rows_run, method="skip_thinking", student=small, skip_thinking={"chunks": 2}
    ).train_dataset
    assert len(plain) < len(parts) <= 2 * len(plain)

    def trained(data) -> int:
        return sum(label != -100 for row in data for label in row["labels"])

    assert trained(parts) == trained(plain)
    settings = TrainSection(method="skip_thinking", student=small, max_steps=1, batch_size=2)
    train(rows_run, settings)


@given(st.lists(SAID, min_size=1, max_size=3), st.booleans())
def test_only_thoughts_of_the_policy_may_be_masked(thoughts: list[str], protects: bool) -> None:
    renderer, row = labelled(thoughts)
    token_bytes = TokenBytes(renderer.tokenizer)
    protect = "Action:" if protects else None
    maskable = maskable_tokens(
        row.input_ids, row.labels, token_bytes, protect, renderer.end_of_turn_id
    )
    for token, label, flag in zip(row.input_ids, row.labels, maskable, strict=True):
        assert label != -100 or not flag
        assert token != renderer.end_of_turn_id or not flag
    own = renderer.decode([t for t, flag in zip(row.input_ids, maskable, strict=True) if flag])
    if protects:
        wholes = [thought.rpartition("Action:")[0] for thought in thoughts]
        assert len(own) <= len("".join(wholes))
        assert all(token not in own for token in ["Where is", "dark"])
    else:
        assert own == "".join(thoughts)


def test_an_action_is_protected_with_its_verb() -> None:
    renderer, row = labelled(["Thought: not here.\nAction: go to desk 1"])
    maskable = maskable_tokens(
        row.input_ids,
        row.labels,
        TokenBytes(renderer.tokenizer),
        "Action:",
        renderer.end_of_turn_id,
    )
    kept = [t for t, flag in zip(row.input_ids, maskable, strict=True) if not flag]
    assert renderer.decode(kept).endswith("Action: go to desk 1<|end|><|user|>") or (
        renderer.decode(kept).endswith("Action: go to desk 1<|end|>")
    )
    assert "not here" not in renderer.decode(kept)


def test_the_rate_is_the_one_that_was_asked_for() -> None:
    ids = torch.arange(5, 20_005)[None]
    generator = torch.Generator().manual_seed(0)
    hidden = masked(ids, torch.ones_like(ids), 0.4, 3, generator)
    assert (hidden == 3).float().mean().item() == pytest.approx(0.4, abs=0.01)
    assert (hidden[hidden != 3] == ids[hidden != 3]).all()
    nothing = masked(ids, torch.zeros_like(ids), 0.9, 3, generator)
    assert torch.equal(nothing, ids)


def test_the_rate_rises_from_nothing() -> None:
    settings = MaskedThoughtSection(rate=0.4, warmup=0.5)
    assert [mask_rate(settings, x) for x in (0, 0.25, 0.5, 1)] == [0, 0.2, 0.4, 0.4]
    assert mask_rate(MaskedThoughtSection(warmup=0), 0) == 0.4


def test_masking_changes_inputs_and_no_labels(rows_run: RunFolder, small: str) -> None:
    trainer = trainer_of(
        rows_run,
        method="masked_thought",
        student=small,
        packing=False,
        masked_thought={"protect": None, "warmup": 0, "rate": 0.9},
    )
    seen = []
    trainer.model.model.register_forward_hook(
        lambda module, args, kwargs, output: seen.append(kwargs["input_ids"]), with_kwargs=True
    )
    original = first_batch(trainer)
    trainer.model.train()
    for _ in range(2):
        trainer.compute_loss(trainer.model, dict(original))
    trainer.model.eval()
    with torch.no_grad():
        trainer.compute_loss(trainer.model, dict(original))
    first, second, measured = seen
    is_maskable = original[MASKABLE].bool()
    assert torch.equal(measured, original["input_ids"])
    assert torch.equal(first[~is_maskable], measured[~is_maskable])
    assert 0.8 < (first[is_maskable] != measured[is_maskable]).float().mean() <= 1
    assert not torch.equal(first, second)
    own = original["labels"] != -100
    assert torch.equal(original["labels"][own], original["input_ids"][own])


def test_masked_thought_trains_and_is_repeatable(rows_run: RunFolder, small: str, tmp_path) -> None:
    again = RunFolder(tmp_path / "again")
    again.path.mkdir()
    (again.path / "rows").symlink_to(rows_run.rows)
    for run in (rows_run, again):
        settings = TrainSection(
            method="masked_thought",
            student=small,
            max_steps=3,
            batch_size=4,
            masked_thought={"protect": None, "warmup": 0.1},
        )
        train(run, settings)
    one, other = (load_student(str(run.student)).model for run in (rows_run, again))
    for first, second in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(first, second)


def test_the_token_that_stands_in(rows_run: RunFolder, small: str) -> None:
    student = load_student(small)

    def token(**settings) -> int:
        section = TrainSection(masked_thought=settings)
        return stand_in_token(Job(rows_run, section, student, ChatRenderer(student.tokenizer)))

    assert token() == student.tokenizer.pad_token_id
    assert token(token="<|user|>") == student.tokenizer.convert_tokens_to_ids("<|user|>")
    with pytest.raises(ConfigError, match="not in the vocabulary"):
        token(token="<|usr|>")
    student.tokenizer.pad_token = "<|end|>"
    with pytest.raises(ConfigError, match=r"--train\.masked_thought\.token"):
        token()
    with pytest.raises(ConfigError, match="null"):
        train(rows_run, TrainSection(method="masked_thought", masked_thought={"protect": ""}))
