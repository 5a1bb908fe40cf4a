"""How many rows to train at once: as few as memory asks for, as many as speed asks for.

The activations that a forward pass keeps for the backward pass grow with its tokens; everything
else does not. A batch is therefore taken in equal parts, whose gradients are added up. A GPU gets
parts whose activations fill half of what weights, gradients and moments leave free. A CPU gains
nothing from more than a thousand tokens at once, so that small parts save memory and cost no time,
while recomputing activations costs a third; only where rows begin alike, a larger part computes
less, and may fill a sixth of the machine's memory.

The estimate is of a decoder with gated feed-forward layers: about 16 vectors of the model's width
and 5 of the feed-forward width for each layer and token (norms, projections, rotations and
residuals; gate, its activation, up and product), and one of each layer with gradient checkpointing.
"""

from typing import Any

import torch

from agentkd.machine import memory_bytes
from agentkd.students.load import device_of_this_machine
from agentkd.train.shared_prefix import WORTHWHILE

ENOUGH_TOKENS = 1000
"""A CPU is as quick with these as with more."""
SHARE_OF_MEMORY = 1 / 6
"""Of a machine without a GPU, for activations, where larger parts are quicker."""
WIDE, FEED_FORWARD = 16, 5


def rows_at_once(
    model: Any,
    rows: int,
    tokens_per_row: float,
    *,
    alike: float = 0.0,
    is_checkpointed: bool,
    has_adapter: bool,
) -> int:
    """The largest divisor of `rows` whose activations fit; `rows` for a model that tells no sizes.

    `rows` are those of a batch in one process, with `tokens_per_row` tokens on average, the first
    `alike` of which rows have in common and a part computes once.
    """
    per_token = activation_bytes(model, is_checkpointed=is_checkpointed)
    if not per_token:
        return rows
    parts = [part for part in range(rows, 1, -1) if rows % part == 0]
    if device_of_this_machine() == "cuda":
        free, _ = torch.cuda.mem_get_info()
        tokens = (free - state_bytes(model, has_adapter=has_adapter)) / 2 / per_token
    else:
        tokens = memory_bytes() * SHARE_OF_MEMORY / per_token
        if alike < WORTHWHILE:
            tokens = min(tokens, ENOUGH_TOKENS)
    fitting = (part for part in parts if alike + part * (tokens_per_row - alike) <= tokens)
    return next(fitting, 1)


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
