"""Scoring labelled tokens only: loss, gradients and metrics are those of TRL."""

import copy

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from trl.trainer.utils import add_fused_lm_head

from agentkd.train import labelled_head
from agentkd.train.labelled_head import score_labelled_tokens_only

METRICS = ("log_probs", "entropy", "is_top1")


def small_model(**settings) -> LlamaForCausalLM:
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=97,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=True,
            **settings,
        )
    )
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return model.eval()


def batch(padding: str, labelled: float = 0.3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    lengths = [11, 7, 3]
    ids = torch.randint(1, 97, (3, 11), generator=generator)
    mask = torch.zeros(3, 11, dtype=torch.long)
    for row, length in enumerate(lengths):
        mask[row, slice(0, length) if padding == "right" else slice(11 - length, 11)] = 1
    is_labelled = (torch.rand(3, 11, generator=generator) < labelled) & mask.bool()
    return {
        "input_ids": ids * mask,
        "attention_mask": mask,
        "labels": torch.where(is_labelled, ids, -100),
    }


def both(model: LlamaForCausalLM) -> tuple[LlamaForCausalLM, LlamaForCausalLM]:
    """The model as TRL prepares it, and as agentkd trains it."""
    trl, ours = copy.deepcopy(model), copy.deepcopy(model)
    for one in (trl, ours):
        add_fused_lm_head(one, outputs=METRICS)
    score_labelled_tokens_only(ours)
    return trl, ours


def run(model: LlamaForCausalLM, inputs: dict[str, torch.Tensor]):
    outputs = model(**inputs, fused_lm_head=True)
    outputs.loss.backward()
    return outputs, {name: weight.grad for name, weight in model.named_parameters()}


@pytest.mark.parametrize("logits_at_once", [2**25, 97 * 4], ids=["at once", "in chunks"])
@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("labelled", [0.3, 1.0])
def test_loss_gradients_and_metrics_are_those_of_trl(
    monkeypatch, logits_at_once: int, padding: str, labelled: float
) -> None:
    monkeypatch.setattr(labelled_head, "LOGITS_AT_ONCE", logits_at_once)
    trl, ours = both(small_model())
    inputs = batch(padding, labelled)
    expected, expected_gradients = run(trl, inputs)
    got, gradients = run(ours, inputs)
    torch.testing.assert_close(got.loss, expected.loss, rtol=1e-5, atol=1e-6)
    assert torch.equal(got.label_mask, expected.label_mask)
    for name in METRICS:
        mask = expected.label_mask
        torch.testing.assert_close(
            getattr(got, name)[mask], getattr(expected, name)[mask], rtol=1e-4, atol=1e-5
        )
        assert not getattr(got, name)[~mask].any()
    for name, gradient in expected_gradients.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-4, atol=1e-6)


def test_a_batch_without_labels_has_no_loss_and_zero_gradients() -> None:
    _, ours = both(small_model())
    inputs = batch("right")
    inputs["labels"] = torch.full_like(inputs["labels"], -100)
    outputs, gradients = run(ours, inputs)
    assert outputs.loss.item() == 0
    assert not any(gradient is not None and gradient.any() for gradient in gradients.values())


def test_a_head_that_does_more_than_project_is_left_to_trl() -> None:
    model = small_model()
    model.config.final_logit_softcapping = 3.0
    trl, ours = both(model)
    inputs = batch("right")
    assert run(ours, inputs)[0].loss.item() == run(trl, inputs)[0].loss.item()


def test_logits_are_unchanged() -> None:
    """Generation goes through the model's own forward."""
    model = small_model()
    _, ours = both(model)
    ids = batch("right")["input_ids"]
    assert torch.equal(ours(input_ids=ids).logits, model(input_ids=ids).logits)
