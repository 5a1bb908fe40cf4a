"""Batches without padding: rows laid end to end, none of which attends to another.

A batch is one line of tokens, with each token's position in its own row and a *layout* that says
which run of tokens goes on from which. `attend` computes attention node by node, so that no time
and no memory goes to pairs of tokens that must not see each other; with eager attention the same
rule is a mask. Flash attention finds the rows by their positions and needs no layout, but cannot
share beginnings. Loss and gradients are those of each row on its own.

`can_pack` tries it on the model itself. Models with sliding windows, recurrent layers, or a forward
pass that does not hand the layout on are trained on padded batches instead.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from agentkd.errors import ConfigError
from agentkd.students.decoder import check_supported
from agentkd.train.labels import IGNORED, LabelledRow
from agentkd.train.shared_prefix import (
    ROOT,
    WORTHWHILE,
    Line,
    Node,
    end_to_end,
    positions,
    share,
)

NAME = "agentkd_packed"
"""The attention implementation, as transformers knows it."""
TOLERANCE = 1e-3
"""Largest difference of a hidden state, relative to the largest, for which `can_pack` says yes."""


@dataclass(frozen=True)
class Layout:
    """The nodes of a line, in the order of its tokens."""

    nodes: tuple[Node, ...]

    def above(self, node: Node) -> list[Node]:
        """The nodes from which `node` goes on, from the root down."""
        chain: list[Node] = []
        while node.parent != ROOT:
            node = self.nodes[node.parent]
            chain.insert(0, node)
        return chain

    def mask(self, device: torch.device) -> torch.Tensor:
        """Which token attends to which, [1, 1, tokens, tokens]."""
        size = sum(node.length for node in self.nodes)
        allowed = torch.zeros(size, size, dtype=torch.bool, device=device)
        for node in self.nodes:
            own = slice(node.start, node.start + node.length)
            allowed[own, own] = True
            for earlier in self.above(node):
                allowed[own, earlier.start : earlier.start + earlier.length] = True
        return allowed.tril()[None, None]


@dataclass(frozen=True)
class PackedCollator:
    """Makes one line out of the rows of a batch."""

    is_shared: bool = False
    """Whether what rows begin with alike is laid out once, if that is worthwhile; the model must be
    one that `can_share` has accepted."""

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Tensors [1, tokens], and the layout."""
        single = [labelled_row(row) for row in rows if not row.get("nodes")]
        line = share(single, WORTHWHILE) if self.is_shared else end_to_end(single)
        for row in rows:
            if row.get("nodes"):
                line.append(_line(row))
        batch: dict[str, Any] = {
            "input_ids": torch.tensor([line.input_ids]),
            "labels": torch.tensor([line.labels]),
            "position_ids": torch.tensor([line.positions()]),
            "layout": Layout(tuple(line.nodes)),
        }
        batch["labels"][0, [node.start for node in line.nodes]] = IGNORED
        if any(row.get("weights") for row in rows):
            batch["loss_weights"] = torch.tensor([line.weights])
        return batch


def labelled_row(example: Mapping[str, Any]) -> LabelledRow:
    """An example of a dataset as the row that it was made from."""
    return LabelledRow(example["input_ids"], example["labels"], example.get("weights") or [])


def _line(example: Mapping[str, Any]) -> Line:
    nodes = [Node(*node) for node in example["nodes"]]
    weights = labelled_row(example).weight_of_each()
    return Line(example["input_ids"], example["labels"], weights, nodes)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    layout: Layout | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention within the nodes of a line; all tensors [1, heads, tokens, d].

    Without a layout it is transformers' own.
    """
    if layout is None:
        whole: Any = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
        return whole[0], None
    kwargs.pop("is_causal", None)
    parts = []
    for node in layout.nodes:
        seen = [*layout.above(node), node]
        own = slice(node.start, node.start + node.length)
        mask = None if len(seen) == 1 else _mask_below(seen, query.device)
        part: Any = sdpa_attention_forward(
            module,
            query[:, :, own],
            _columns(key, seen),
            _columns(value, seen),
            mask,
            is_causal=mask is None,
            **kwargs,
        )
        parts.append(part[0])
    return torch.cat(parts, dim=1), None


def _columns(tensor: torch.Tensor, nodes: list[Node]) -> torch.Tensor:
    if len(nodes) == 1:
        return tensor[:, :, nodes[0].start : nodes[0].start + nodes[0].length]
    return torch.cat([_columns(tensor, [node]) for node in nodes], dim=2)


def _mask_below(seen: list[Node], device: torch.device) -> torch.Tensor:
    """A node sees everything above it, and itself causally: [1, 1, own, all]."""
    own, every = seen[-1].length, sum(node.length for node in seen)
    return torch.ones(own, every, dtype=torch.bool, device=device).tril(every - own)[None, None]


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)


def packed_arguments(model: PreTrainedModel, layout: Layout) -> dict[str, Any]:
    """What a forward pass over a line needs beside `input_ids` and `position_ids`."""
    kind = model.config._attn_implementation
    device = model.device
    if kind == NAME:
        # A mask of four dimensions is taken as it is, so that none is made of the positions.
        return {"layout": layout, "attention_mask": torch.ones(1, 1, 1, 1, device=device)}
    if kind.startswith("flash"):
        return {}
    allowed = layout.mask(device)
    if kind == "eager":
        floor = torch.finfo(model.dtype).min
        return {"attention_mask": torch.where(allowed, 0.0, floor).to(model.dtype)}
    return {"attention_mask": allowed}


def can_pack(model: PreTrainedModel) -> bool:
    """Whether packed rows give what they give on their own; takes two short forward passes.

    Replaces the model's attention by `attend` if it is PyTorch's.
    """
    try:
        check_supported(model)
    except ConfigError:
        return False
    before = model.config._attn_implementation
    if before == "sdpa":
        model.set_attn_implementation(NAME)
    if _agrees(model):
        return True
    model.set_attn_implementation(before)
    return False


def can_share(model: PreTrainedModel) -> bool:
    """Whether rows may share beginnings in a model that can pack."""
    return not model.config._attn_implementation.startswith("flash")


@torch.no_grad()
def _agrees(model: PreTrainedModel) -> bool:
    """Compare the hidden states of two packed rows with those of each on its own."""
    was_training = model.training
    model.train(False)
    first = torch.arange(1, 8, device=model.device)[None]
    second = torch.arange(3, 14, device=model.device)[None]
    nodes = (Node(0, 7, ROOT), Node(7, 11, ROOT))
    try:
        packed = _hidden(
            model,
            torch.cat([first, second], dim=1),
            position_ids=torch.tensor([positions(nodes)], device=model.device),
            **packed_arguments(model, Layout(nodes)),
        )
        alone = torch.cat([_hidden(model, first), _hidden(model, second)], dim=1)
    except (TypeError, ValueError, RuntimeError):
        return False
    finally:
        model.train(was_training)
    return bool((packed - alone).abs().max() <= TOLERANCE * alone.abs().max())


def _hidden(model: PreTrainedModel, ids: torch.Tensor, **kwargs: Any) -> torch.Tensor:
    outputs: Any = model.base_model(input_ids=ids, use_cache=False, **kwargs)
    states: torch.Tensor = outputs.last_hidden_state
    return states.float()
