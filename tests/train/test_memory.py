"""A batch is taken in parts where its activations would not fit well, and nothing else changes."""

from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from agentkd.run_folder import RunFolder
from agentkd.students.load import load_student
from agentkd.train import memory
from agentkd.train.memory import rows_at_once
from tests.train.small_runs import trainer_of


@pytest.fixture(scope="module")
def large() -> LlamaForCausalLM:
    """A model of the size of SmolLM2-135M, without memory of its own."""
    with torch.device("meta"):
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=49_152,
                hidden_size=576,
                intermediate_size=1536,
                num_hidden_layers=30,
                num_attention_heads=9,
                num_key_value_heads=3,
                tie_word_embeddings=True,
            )
        )


def at_once(model: LlamaForCausalLM, rows: int, tokens: float, **changes: Any) -> int:
    return rows_at_once(
        model, rows, tokens, **{"is_checkpointed": False, "has_adapter": False} | changes
    )


def test_parts_are_equal_and_shrink_as_rows_grow(large: LlamaForCausalLM) -> None:
    parts = [at_once(large, 12, tokens) for tokens in (20, 100, 200, 300, 700, 5000)]
    assert parts == sorted(parts, reverse=True)
    assert parts[0] == 12
    assert parts[-1] == 1
    assert all(12 % part == 0 for part in parts)


def test_a_cpu_takes_no_more_tokens_than_make_it_quicker(large: LlamaForCausalLM) -> None:
    tiny = load_student("tiny").model
    assert [at_once(model, 16, 240) for model in (tiny, large)] == [4, 4]
    assert at_once(tiny, 16, 50) == 16


def test_rows_that_begin_alike_are_taken_together_where_memory_allows(
    large: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = []
    for gigabytes in (1, 24, 240):
        monkeypatch.setattr(memory, "memory_bytes", lambda size=gigabytes * 2**30: size)
        parts.append(at_once(large, 16, 900, alike=300))
        assert at_once(large, 16, 900, alike=300, is_checkpointed=True) >= parts[-1]
        assert at_once(large, 16, 900) == 1
    assert parts == [1, 2, 16]


def test_a_gpu_takes_what_it_has_room_for(
    large: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "device_of_this_machine", lambda: "cuda")
    parts = []
    for gigabytes in (4, 24, 80):
        free = gigabytes * 2**30, 80 * 2**30
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda free=free: free)
        parts.append(at_once(large, 64, 700))
    assert parts == sorted(parts)
    assert parts[0] < parts[1] < parts[2]
    assert at_once(large, 64, 700, has_adapter=True) >= parts[2]


def test_parts_change_no_result(
    rows_run: RunFolder, small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trainer_of(rows_run, student=small)
    monkeypatch.setattr(memory, "ENOUGH_TOKENS", 0)
    parted = trainer_of(rows_run, student=small)
    assert whole.args.per_device_train_batch_size == 4
    assert parted.args.per_device_train_batch_size < 4
    for trainer in (whole, parted):
        assert rows_of_a_step(trainer) == 4
        trainer.train()
    one, other = (curve_of(trainer) for trainer in (whole, parted))
    assert len(one) == 8
    assert other == pytest.approx(one, rel=1e-3)


def curve_of(trainer: Any) -> list[float]:
    """Loss and norm of the gradient, step by step."""
    return [
        entry[key]
        for entry in trainer.state.log_history
        if "loss" in entry
        for key in ("loss", "grad_norm")
    ]


def rows_of_a_step(trainer: Any) -> int:
    arguments = trainer.args
    return arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps
