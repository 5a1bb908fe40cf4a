"""Gives a fresh Llama two things that small models otherwise spend most of their training on.

- Layer 0: two heads look one and two tokens back, and write what they see beside the token.
- Layer 1: two heads look for places whose predecessors are the present token and the one before
  it, and predict the token that stands there: what followed last time will follow again.

These are the previous-token and induction heads that training finds by itself in larger models
(Olsson et al., 2209.11895); here they are set by hand, from a seed, without data. They work for all
tokens alike, so that they know nothing of any task. All other weights stay random, and all of them
are trained.

The residual stream is divided for that. One dimension is the same for all tokens; others hold the
token, its two predecessors, and the prediction, which an output matrix of its own reads. A head
that looks back uses RoPE: what is constant in the input meets itself, turned by one or two
positions. A head that looks for a token uses the dimensions that RoPE turns slowest.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from agentkd.students.tiny import CONTEXT

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

CONSTANT = slice(0, 1)
TOKEN = slice(1, 97)
BEFORE = (slice(97, 129), slice(129, 161))
"""The token one back and two back, projected."""
PREDICTED = slice(161, 225)

WORTH = 225
"""Where a number says what it is worth."""

_SAME_WORD = 0.8
_LOOK_BACK_GAIN = 0.9
_MATCH = ((6, 12, 2.5), (12, 16, 3.2))
"""For the token and its predecessor: first and last pair of slow dimensions, and gain."""
_WRITE_BEFORE, _WRITE_PREDICTED = 0.15, 0.6


def build_copying_model(
    tokenizer: "PreTrainedTokenizerFast", seed: int = 0, *, knows_words: bool = False
) -> "LlamaForCausalLM":
    """Make a Llama of four layers for a tokenizer, random but for the heads that copy.

    With `knows_words`, words that differ only in case or in a space before them begin alike, and
    numbers with what they are worth.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)
    set_copying_heads(model, seed, _texts_of(tokenizer) if knows_words else ())
    return model


def _texts_of(tokenizer: "PreTrainedTokenizerFast") -> list[str]:
    texts: list[str] = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
    return [text.strip().lower() for text in texts]


def _alike(tokens: torch.Tensor, texts: Sequence[str], generator: torch.Generator) -> torch.Tensor:
    """Give rows of the same word a part that is the same."""
    words = {text: number for number, text in enumerate(sorted(set(texts)))}
    common = torch.randn(len(words), tokens.shape[1], generator=generator)
    common /= math.sqrt(tokens.shape[1])
    rows = torch.tensor([words[text] for text in texts])
    is_word = torch.tensor([len(text) > 1 and text.isalpha() for text in texts])
    mixed = _SAME_WORD * common[rows] + math.sqrt(1 - _SAME_WORD**2) * tokens
    return torch.where(is_word[:, None], mixed, tokens)


def set_copying_heads(model: "LlamaForCausalLM", seed: int = 0, texts: Sequence[str] = ()) -> None:
    """Set embeddings, output matrix and the heads of the first two layers.

    With `texts`, one for each token, those of the same word begin alike.

    The model must have 256 dimensions, heads of 32, half as many key heads as heads, and an output
    matrix that is not tied to the embeddings.
    """
    config: Any = model.config
    generator = torch.Generator().manual_seed(seed)
    theta = config.rope_parameters["rope_theta"]
    speeds = torch.tensor([theta ** (-pair / 16) for pair in range(16)])

    def projection(rows: int, columns: int) -> torch.Tensor:
        """Rows of unit length, at right angles to each other."""
        basis, _ = torch.linalg.qr(torch.randn(columns, rows, generator=generator))
        rotated: torch.Tensor = basis.T
        return rotated

    with torch.no_grad():
        tokens = torch.randn(config.vocab_size, 96, generator=generator) / math.sqrt(96)
        if texts:
            tokens = _alike(tokens, texts, generator)
        reads = projection(64, 96)
        embeddings: Any = model.get_input_embeddings().weight
        embeddings[:, CONSTANT] = 1.0
        embeddings[:, TOKEN] = tokens
        for token, text in enumerate(texts):
            if text.isdigit() and text.isascii():
                embeddings[token, WORTH] = math.log10(1 + int(text))
        outputs: Any = model.get_output_embeddings().weight
        outputs[:, PREDICTED] = math.sqrt(96 / 64) * tokens @ reads.T

        first: Any = model.model.layers[0].self_attn
        seen = projection(32, 96)
        for back, place in enumerate(BEFORE, 1):
            key_head = back - 1
            head, keys = _rows(2 * key_head), _rows(key_head)
            _clear(first, head, keys)
            turned = speeds * back
            query = torch.cat([turned.cos(), -turned.sin()]) * _LOOK_BACK_GAIN
            first.q_proj.weight[head, 0] = query
            first.k_proj.weight[keys, 0] = torch.cat([torch.ones(16), torch.zeros(16)])
            first.k_proj.weight[keys, 0] *= _LOOK_BACK_GAIN
            first.v_proj.weight[keys, TOKEN] = seen
            first.o_proj.weight[place, head] = _WRITE_BEFORE * torch.eye(32)

        second: Any = model.model.layers[1].self_attn
        for key_head in range(2):
            head, keys = _rows(2 * key_head), _rows(key_head)
            _clear(second, head, keys)
            for back, (low, high, gain) in enumerate(_MATCH):
                slow = torch.tensor([*range(low, high), *range(16 + low, 16 + high)])
                compared = projection(len(slow), 32)
                wanted = compared @ seen if back == 0 else compared
                asked = TOKEN if back == 0 else BEFORE[back - 1]
                second.q_proj.weight[head.start + slow, asked] = gain * wanted
                second.k_proj.weight[keys.start + slow, BEFORE[back]] = gain * compared
            part = slice(32 * key_head, 32 * key_head + 32)
            second.v_proj.weight[keys, TOKEN] = reads[part]
            written = slice(PREDICTED.start + part.start, PREDICTED.start + part.stop)
            second.o_proj.weight[written, head] = _WRITE_PREDICTED * torch.eye(32)


def _rows(head: int) -> slice:
    return slice(32 * head, 32 * head + 32)


def _clear(attention: Any, head: slice, keys: slice) -> None:
    attention.q_proj.weight[head] = 0
    attention.k_proj.weight[keys] = 0
    attention.v_proj.weight[keys] = 0
    attention.o_proj.weight[:, head] = 0
