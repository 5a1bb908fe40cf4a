"""Grouped attention is transformers' attention, without the copies of keys and values."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from agentkd.students.decoder import BatchedDecoder, Sampling
from agentkd.students.grouped_attention import NAME, attend_by_groups, grouped_attention


class Layer(torch.nn.Module):
    """What transformers' attention wants to know of the layer that calls it."""

    is_causal = True

    def __init__(self, group: int) -> None:
        super().__init__()
        self.num_key_value_groups = group


@settings(deadline=None, max_examples=50)
@given(
    rows=st.integers(1, 3),
    kept=st.integers(1, 3),
    group=st.integers(1, 4),
    tokens=st.integers(1, 5),
    earlier=st.integers(0, 6),
    seed=st.integers(0, 99),
)
def test_it_is_what_transformers_computes(rows, kept, group, tokens, earlier, seed):
    torch.manual_seed(seed)
    columns = earlier + tokens
    query = torch.randn(rows, kept * group, tokens, 8)
    key, value = torch.randn(2, rows, kept, columns, 8)
    mask = torch.rand(rows, 1, tokens, columns) < 0.7
    mask[..., 0] = True
    layer = Layer(group)
    expected, _ = sdpa_attention_forward(layer, query, key, value, mask, scaling=0.3)
    found, _ = attend_by_groups(layer, query, key, value, mask, scaling=0.3)
    assert found.shape == expected.shape == (rows, tokens, kept * group, 8)
    assert torch.allclose(found, expected, atol=1e-5)


def small_model(heads: int, kept: int, attention: str = "sdpa") -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=heads,
        num_key_value_heads=kept,
        max_position_embeddings=64,
    )
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention)


def written(model: LlamaForCausalLM) -> tuple[list[list[int]], list[list[float]]]:
    decoder = BatchedDecoder(model)
    rows = [decoder.open() for _ in range(3)]
    for row, prompt in zip(rows, ([1, 2, 3], [7], [4, 4, 9, 8, 2]), strict=True):
        decoder.submit(row, prompt, Sampling(8), -1, 0)
    while decoder.has_work:
        decoder.step()
    return [row.written for row in rows], [row.logprobs for row in rows]


@pytest.mark.parametrize(("heads", "kept"), [(6, 2), (4, 1), (4, 4)])
def test_the_decoder_writes_the_same_as_with_repeated_keys(heads, kept):
    tokens, logprobs = written(small_model(heads, kept))
    plain_tokens, plain_logprobs = written(small_model(heads, kept, "eager"))
    assert tokens == plain_tokens
    for ours, theirs in zip(logprobs, plain_logprobs, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)


def test_the_model_gets_its_own_attention_back():
    model = small_model(6, 2)
    with pytest.raises(RuntimeError), grouped_attention(model):
        assert model.config._attn_implementation == NAME
        raise RuntimeError
    assert model.config._attn_implementation == "sdpa"
    eager = small_model(6, 2, "eager")
    with grouped_attention(eager):
        assert eager.config._attn_implementation == "eager"


def test_what_is_more_than_a_softmax_is_left_to_transformers():
    query, key = torch.randn(1, 4, 1, 8), torch.randn(1, 2, 3, 8)
    with pytest.raises(ValueError, match="softcap"):
        attend_by_groups(
            Layer(2), query, key, key, torch.ones(1, 1, 1, 3, dtype=torch.bool), softcap=30.0
        )
