"""How many rows to train at once: as few as memory asks for, as many as speed asks for.

The activations that a forward pass keeps for the backward pass grow with its tokens; everything
else does not. A batch is therefore taken in equal parts, whose gradients are added up: on a CPU
once its activations would take more than what stands in memory anyway (weights, gradients and the
two moments of the optimizer), on a GPU once they would take more than half of what these leave
free. A CPU gains nothing from more than a thousand tokens at once, so that parts cost no time
there, while recomputing activations costs a third.

The estimate is of a decoder with gated feed-forward layers: about 16 vectors of the model's width
and 5 of the feed-forward width for each layer and token (norms, projections, rotations and
residuals; gate, its activation, up and product), and one of each layer with gradient checkpointing.
"""

from typing import Any

import torch

from agentkd.students.load import device_of_this_machine

LEAST_BYTES = 2**30
"""Activations that may always be kept."""
WIDE, FEED_FORWARD = 16, 5


def rows_at_once(
    model: Any, rows: int, tokens_per_row: float, *, is_checkpointed: bool, has_adapter: bool
) -> int:
    """The largest divisor of `rows` whose activations fit; `rows` for a model that tells no sizes.

    `rows` are those of a batch in one process, with `tokens_per_row` tokens on average.
    """
    per_token = activation_bytes(model, is_checkpointed=is_checkpointed)
    if not per_token:
        return rows
    tokens = max(LEAST_BYTES, _room(state_bytes(model, has_adapter=has_adapter))) / per_token
    fitting = (part for part in range(rows, 1, -1) if rows % part == 0)
    return next((part for part in fitting if part * tokens_per_row <= tokens), 1)


def activation_bytes(model: Any, *, is_checkpointed: bool) -> int:
    """What a training pass keeps for each token; 0 if the model's config lacks the sizes."""
    config = model.config.get_text_config()
    sizes = ("hidden_size", "intermediate_size", "num_hidden_layers")
    width, feed_forward, layers = (getattr(config, name, None) for name in sizes)
    if not (width and feed_forward and layers):
        return 0
    layer = WIDE * width + FEED_FORWARD * feed_forward
    vectors = layers * width + layer if is_checkpointed else layers * layer
    return int(vectors * model.dtype.itemsize)


def state_bytes(model: Any, *, has_adapter: bool) -> int:
    """Weights, and if all are trained their gradients and two moments."""
    weights: int = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    return weights if has_adapter else 4 * weights


def _room(state: int) -> int:
    """What activations may take beside `state` bytes of weights, gradients and moments."""
    if device_of_this_machine() != "cuda":
        return state
    free, _ = torch.cuda.mem_get_info()
    return (free - state) // 2
