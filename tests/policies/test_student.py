"""The local student: batched decoding gives what each episode would get alone."""

from functools import partial
from pathlib import Path
from random import Random

import anyio
import pytest
import torch
from agentkd_envs import make_env
from transformers import (
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from agentkd.collect import Setting, collect
from agentkd.errors import ConfigError
from agentkd.policies.student import StudentPolicy
from agentkd.prompts import action_format
from agentkd.store import EpisodeReader
from agentkd.students.decoder import BatchedDecoder, Sampling
from agentkd.students.load import load_student
from agentkd.students.tiny import BASE
from agentkd.teachers import local_policy


def small_model(vocabulary: int = 300, context: int = 600) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
    )
    return LlamaForCausalLM(config).eval()


def continue_alone(model, tokens: list[int], count: int, stop: int) -> list[int]:
    """Greedy decoding without any cache."""
    written: list[int] = []
    while len(written) < count:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([tokens + written])).logits[0, -1]
        written.append(int(logits.argmax()))
        if written[-1] == stop:
            break
    return written


def test_interleaved_conversations_equal_separate_ones() -> None:
    """Rows come and go, read prompts of all lengths, and take several turns."""
    model, stop, random = small_model(), 5, Random(0)
    decoder = BatchedDecoder(model)
    conversations: dict[int, tuple[list[int], int]] = {}
    rows, started, checked = {}, 0, 0

    def submit(row, history: list[int], turns: int) -> None:
        prompt = [random.randrange(300) for _ in range(random.randint(1, 30))]
        conversations[id(row)] = (history + prompt, turns)
        limit = random.randint(1, 9)
        decoder.submit(row, prompt, Sampling(max_new_tokens=limit), stop, seed=0)

    while started < 25 or rows:
        while len(rows) < 7 and started < 25:
            row = decoder.open()
            rows[id(row)] = row
            submit(row, [], random.randint(1, 4))
            started += 1
        for row in decoder.step():
            history, turns = conversations[id(row)]
            expected = continue_alone(model, history, row.sampling.max_new_tokens, stop)
            assert row.written == expected
            assert (row.finish_reason == "stop") == (expected[-1] == stop)
            checked += 1
            if turns > 1:
                submit(row, history + row.written, turns - 1)
            else:
                decoder.close(row)
                del rows[id(row)]
    assert checked > 40


def test_eager_attention_writes_what_pytorchs_does() -> None:
    prompts = ([1, 2, 3], [7], [4, 4, 9, 8, 2])

    def written(attention: str) -> tuple[list[list[int]], list[float]]:
        model = small_model()
        model.set_attn_implementation(attention)
        decoder = BatchedDecoder(model)
        rows = [decoder.open() for _ in prompts]
        for row, prompt in zip(rows, prompts, strict=True):
            decoder.submit(row, prompt, Sampling(8), -1, 0)
        while decoder.has_work:
            decoder.step()
        return [row.written for row in rows], [one for row in rows for one in row.logprobs]

    (tokens, logprobs), (eager_tokens, eager_logprobs) = written("sdpa"), written("eager")
    assert eager_tokens == tokens
    assert eager_logprobs == pytest.approx(logprobs, abs=1e-4)


def test_logprobs_are_those_of_the_model() -> None:
    model = small_model()
    decoder = BatchedDecoder(model)
    row = decoder.open()
    decoder.submit(row, [1, 2, 3], Sampling(max_new_tokens=5), stop_id=-1, seed=0)
    while row.is_busy:
        decoder.step()
    tokens = [1, 2, 3, *row.written]
    with torch.no_grad():
        table = model(input_ids=torch.tensor([tokens])).logits[0].log_softmax(-1)
    expected = [float(table[2 + i, token]) for i, token in enumerate(row.written)]
    assert row.logprobs == pytest.approx(expected, abs=1e-4)


def test_sampling_is_reproducible_and_follows_the_distribution() -> None:
    model = small_model(vocabulary=8)
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([[1, 2]])).logits[0, -1].softmax(-1)
    decoder = BatchedDecoder(model)
    draws = []
    for seed in range(400):
        row = decoder.open()
        decoder.submit(row, [1, 2], Sampling(1, temperature=1.0), stop_id=-1, seed=seed)
        decoder.step()
        draws.append(row.written[0])
        decoder.close(row)
    frequencies = torch.bincount(torch.tensor(draws), minlength=8) / len(draws)
    assert torch.allclose(frequencies, expected, atol=0.08)


def test_a_model_with_sliding_windows_is_refused() -> None:
    config = MistralConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        sliding_window=8,
    )
    with pytest.raises(ConfigError, match="vLLM"):
        BatchedDecoder(MistralForCausalLM(config))


def play(policy: StudentPolicy, path: Path, count: int, concurrency: int, max_steps: int):
    setting = Setting(
        lambda: make_env("household", preset="small"), action_format("react"), max_steps
    )
    tasks = make_env("household", preset="small").tasks("unseen", count)
    anyio.run(partial(collect, policy, tasks, path, setting, concurrency=concurrency))
    return {episode.task.id: episode for episode in EpisodeReader(path)}


def test_many_at_once_equal_one_at_a_time(tmp_path: Path) -> None:
    """The shipped base model on real episodes: batching changes no word."""
    student = load_student("tiny")

    def policy() -> StudentPolicy:
        sampling = Sampling(max_new_tokens=24)
        return StudentPolicy(student.model, student.tokenizer, name="tiny", sampling=sampling)

    alone = play(policy(), tmp_path / "alone.jsonl", 6, concurrency=1, max_steps=6)
    together = play(policy(), tmp_path / "together.jsonl", 6, concurrency=6, max_steps=6)
    assert alone.keys() == together.keys()
    for task, episode in alone.items():
        assert [s.text for s in episode.steps] == [s.text for s in together[task].steps]


def test_the_record_holds_the_tokens_and_what_the_cache_saved(tmp_path: Path) -> None:
    student = load_student("tiny")
    policy = StudentPolicy(
        student.model, student.tokenizer, name="tiny", sampling=Sampling(max_new_tokens=24)
    )
    episodes = play(policy, tmp_path / "store.jsonl", 2, concurrency=2, max_steps=4)
    tokenizer = AutoTokenizer.from_pretrained(str(BASE))
    for episode in episodes.values():
        cached = 0
        for step in episode.steps:
            assert step.token_ids is not None and step.logprobs is not None
            assert len(step.token_ids) == len(step.logprobs) == step.usage.completion_tokens
            own = step.token_ids[:-1] if step.finish_reason == "stop" else step.token_ids
            assert tokenizer.decode(list(own)) == step.text
            assert step.usage.cached_tokens == cached
            cached = step.usage.prompt_tokens + step.usage.completion_tokens - 1


def test_half_precision_plays_the_same_model_and_says_so(tmp_path: Path) -> None:
    precise = local_policy("tiny", "tiny", "student", 24, 0.0)
    half = local_policy("tiny", "tiny", "student", 24, 0.0, precision="bf16")
    in_full = play(precise, tmp_path / "fp32.jsonl", 4, concurrency=4, max_steps=1)
    in_half = play(half, tmp_path / "bf16.jsonl", 4, concurrency=4, max_steps=1)
    for task, episode in in_full.items():
        exact, rounded = episode.steps[0].logprobs, in_half[task].steps[0].logprobs
        assert exact is not None and rounded is not None
        assert rounded[0] == pytest.approx(exact[0], abs=0.1)
        assert rounded != exact
        assert "dtype" not in episode.policy.sampling
        assert in_half[task].policy.sampling["dtype"] == "bfloat16"


def test_a_full_context_ends_the_episode(tmp_path: Path) -> None:
    student = load_student("tiny")
    policy = StudentPolicy(
        student.model,
        student.tokenizer,
        name="tiny",
        sampling=Sampling(max_new_tokens=16),
        max_context=120,
    )
    episodes = play(policy, tmp_path / "store.jsonl", 2, concurrency=2, max_steps=50)
    assert {episode.outcome.ended_by for episode in episodes.values()} == {"context"}
    assert all(episode.outcome.status == "budget" for episode in episodes.values())
