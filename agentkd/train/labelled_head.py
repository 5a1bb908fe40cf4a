"""Makes TRL score only the tokens that carry a label, on every device.

TRL's trainers ask the model for `fused_lm_head=True` and get the log-probabilities of the labels
instead of logits. On a GPU TRL projects only the labelled positions through the head; elsewhere it
projects all of them, with unfused operations, although in a trajectory only a third of the tokens
carry a label. Here every device skips the others, and the attention mask of right-padded rows is
left out, because causal attention keeps padding from every token before it. Loss and gradients are
those of TRL.
"""

import functools
import types
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint
from trl.trainer.utils import FusedCausalLMOutput

from agentkd.train.labels import IGNORED, LabelledRow
from agentkd.train.packing import Layout, packed_arguments
from agentkd.train.shared_prefix import share
from agentkd.train.throughput import Meter

LOGITS_AT_ONCE = 2**25
"""Logits that are held for the backward pass; beyond that they are computed again in chunks."""


def score_labels(model: Any, inputs: dict[str, Any]) -> Any:
    """Ask a trainer's model for the log-probabilities of the labels.

    Its answer has `log_probs` and `label_mask`, both [rows, columns - 1].
    """
    return model(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        labels=inputs["labels"],
        use_cache=False,
        fused_lm_head=True,
    )


def score_labelled_tokens_only(
    model: Any, meter: Meter | None = None, *, is_shared: bool = False
) -> None:
    """Change what `model(..., labels=..., fused_lm_head=True)` computes, in place.

    With `is_shared`, what the rows of a right-padded batch begin with alike is computed once
    (`agentkd.train.shared_prefix`), and no padding is computed; the model must be one that
    `can_pack` and `can_share` have accepted.

    Two further arguments are understood: `layout` (`agentkd.train.packing`), and `loss_weights`
    [rows, columns], by which the log-probabilities are multiplied. `meter` counts what a training
    model computes.

    Call it after TRL has prepared the model, that is, on the model of a trainer. Models whose head
    does more than a projection (soft-capped, scaled or routed ones) are scored by TRL.
    """
    fused_by_trl = model.forward
    is_special = _has_special_head(model.config.get_text_config())

    @functools.wraps(fused_by_trl)
    def forward(
        self: Any,
        *args: Any,
        fused_lm_head: bool = False,
        layout: Any = None,
        loss_weights: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        if layout is not None:
            kwargs |= packed_arguments(self, layout)
        if not fused_lm_head or kwargs.get("labels") is None or "shift_labels" in kwargs:
            return fused_by_trl(*args, fused_lm_head=fused_lm_head, **kwargs)
        counter = meter if self.training else None
        outputs: Any
        if is_shared and not is_special and layout is None and _can_be_shared(args, kwargs):
            outputs = _score_as_a_tree(self, counter, **kwargs)
        else:
            if counter is not None:
                mask = kwargs.get("attention_mask") if layout is None else None
                counter.count(kwargs["labels"], mask)
            if is_special:
                outputs = fused_by_trl(*args, fused_lm_head=True, **kwargs)
            else:
                outputs = _score(self, *args, **kwargs)
        if loss_weights is not None:
            outputs.log_probs = outputs.log_probs * loss_weights[:, 1:]
        return outputs

    model.forward = types.MethodType(forward, model)


def _has_special_head(config: Any) -> bool:
    names = (
        "final_logit_softcapping",
        "logit_scale",
        "output_multiplier",
        "lm_head_multiplier",
        "logits_scaling",
        "output_router_logits",
    )
    return any(getattr(config, name, None) for name in names)


def _score(
    model: Any,
    *args: Any,
    labels: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    num_items_in_batch: Any = None,
    **kwargs: Any,
) -> FusedCausalLMOutput:
    kwargs["use_cache"] = False
    if attention_mask is not None and not _is_right_padded(attention_mask):
        kwargs["attention_mask"] = attention_mask
    hidden = model.base_model(*args, **kwargs).last_hidden_state[:, :-1]
    is_labelled = labels[:, 1:] != IGNORED
    return _outputs(model, hidden[is_labelled], labels, num_items_in_batch)


def _can_be_shared(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether these are whole rows: tokens and a mask of right padding, and nothing else."""
    known = {"input_ids", "attention_mask", "labels", "use_cache", "num_items_in_batch"}
    mask = kwargs.get("attention_mask")
    return not args and known.issuperset(kwargs) and mask is not None and _is_right_padded(mask)


def _score_as_a_tree(
    model: Any,
    meter: Meter | None,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    labels: torch.Tensor,
    num_items_in_batch: Any = None,
    use_cache: bool = False,
) -> FusedCausalLMOutput:
    rows = [
        LabelledRow(ids[:length], targets[:length])
        for ids, targets, length in zip(
            input_ids.tolist(), labels.tolist(), attention_mask.sum(1).tolist(), strict=True
        )
    ]
    line = share(rows)
    if meter is not None:
        meter.count(torch.tensor([line.labels]), None)
    device = input_ids.device
    layout = Layout(tuple(line.nodes))
    hidden = model.base_model(
        input_ids=torch.tensor([line.input_ids], device=device),
        position_ids=torch.tensor([line.positions()], device=device),
        use_cache=False,
        **packed_arguments(model, layout),
    ).last_hidden_state[0]
    row, column = (labels[:, 1:] != IGNORED).nonzero(as_tuple=True)
    place = column + torch.tensor(line.shifts, device=device)[row]
    return _outputs(model, hidden[place], labels, num_items_in_batch)


def _outputs(
    model: Any, hidden: torch.Tensor, labels: torch.Tensor, num_items_in_batch: Any
) -> FusedCausalLMOutput:
    """Score the labels [rows, columns] from the states before them [labelled, width]."""
    targets = labels[:, 1:]
    is_labelled = targets != IGNORED
    head = model.get_output_embeddings()
    log_probs, entropy, is_top1, mean_logits = _log_probabilities(
        hidden, head, targets[is_labelled]
    )
    count = is_labelled.sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch
    return FusedCausalLMOutput(
        loss=-log_probs.sum() / count,
        log_probs=_spread(log_probs, is_labelled),
        entropy=_spread(entropy, is_labelled),
        is_top1=_spread(is_top1, is_labelled),
        mean_logits=_spread(mean_logits, is_labelled),
        label_mask=is_labelled,
    )


def _is_right_padded(mask: torch.Tensor) -> bool:
    """Whether all zeros of a [rows, columns] mask stand behind the ones of their row."""
    return mask.ndim == 2 and bool((mask[:, 1:] <= mask[:, :-1]).all())


def _spread(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Put `values` where `mask` is true and zero elsewhere; stays differentiable if none is."""
    return values.new_zeros(mask.shape).masked_scatter(mask, values)


def _log_probabilities(
    hidden: torch.Tensor, head: Any, targets: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Of each target: log-probability, entropy of its distribution, whether it is the likeliest,
    and the mean of the logits.

    `hidden` is [tokens, width], `targets` [tokens]; the results are [tokens].
    """
    rows = max(1, LOGITS_AT_ONCE // head.weight.shape[0])
    if len(hidden) <= rows:
        return _of_chunk(hidden, head, targets)
    parts = [
        checkpoint(_of_chunk, some, head, wanted, use_reentrant=False)
        for some, wanted in zip(hidden.split(rows), targets.split(rows), strict=True)
    ]
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))


def _of_chunk(hidden: torch.Tensor, head: Any, targets: torch.Tensor) -> tuple[torch.Tensor, ...]:
    logits = head(hidden).float()
    log_probs = -torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    with torch.no_grad():
        everything = logits.log_softmax(-1)
        entropy = -(everything.exp() * everything).sum(-1)
        is_top1 = logits.argmax(-1) == targets
        mean_logits = logits.mean(-1)
    return log_probs, entropy, is_top1, mean_logits
