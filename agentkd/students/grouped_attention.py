"""Attention over a KV cache whose heads are shared by groups of query heads, without copying it.

transformers repeats keys and values until there is one of each per query head. While one token is
written at a time, that copy costs far more than the attention itself. The query heads of a group
ask the same keys, so that they can stand in line as if they were further tokens; each result is
the same sum. `benchmarks/decoding.py` compares the two.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "agentkd_grouped"
"""The attention implementation, as transformers knows it."""
_BEYOND_PLAIN = ("softcap", "position_bias", "s_aux", "cache")
"""Arguments of attention that is more than a softmax of scaled products."""


def attend_by_groups(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of `query`, [rows, heads, tokens, d], to fewer heads of keys and values.

    Takes a mask of [rows, 1, tokens, columns]; where it cannot group, it is transformers' own.
    """
    rows, heads, tokens, size = query.shape
    kept = key.shape[1]
    if (
        heads == kept
        or attention_mask is None
        or attention_mask.shape[1] != 1
        or any(kwargs.get(name) is not None for name in _BEYOND_PLAIN)
    ):
        own: Any = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **kwargs
        )
        return own[0], None
    group = heads // kept
    found = scaled_dot_product_attention(
        query.reshape(rows, kept, group * tokens, size),
        key,
        value,
        attn_mask=attention_mask.repeat(1, 1, group, 1),
        dropout_p=dropout,
        scale=scaling,
    )
    return found.reshape(rows, heads, tokens, -1).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, attend_by_groups)
AttentionMaskInterface.register(NAME, sdpa_mask)


@contextmanager
def grouped_attention(model: "PreTrainedModel") -> Iterator[None]:
    """Let a model that uses PyTorch's attention attend by groups; others are left as they are."""
    config: Any = model.config.get_text_config(decoder=True)
    before = config._attn_implementation
    if before != "sdpa":
        yield
        return
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
