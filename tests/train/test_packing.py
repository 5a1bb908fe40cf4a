"""Packed rows train as each row on its own: loss and gradients, with every attention."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from trl.trainer.utils import add_fused_lm_head

from agentkd.train.labelled_head import score_labelled_tokens_only
from agentkd.train.labels import IGNORED, LabelledRow
from agentkd.train.packing import NAME, PackedCollator, can_pack, can_share
from agentkd.train.shared_prefix import ROOT, WORTHWHILE, Node, common_beginning, share
from agentkd.train.throughput import Meter, model_size, peak_flops

SIZES = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
MODELS = {
    "llama": (LlamaForCausalLM, LlamaConfig(**SIZES, tie_word_embeddings=True)),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**SIZES)),
}


def make(name: str, attention: str = "sdpa"):
    kind, config = MODELS[name]
    torch.manual_seed(0)
    model = kind(copy.deepcopy(config))
    model.set_attn_implementation(attention)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return model


def make_row(tokens: list[int], trained: range, weight: float = 1.0) -> LabelledRow:
    labels = [t if n in trained else IGNORED for n, t in enumerate(tokens)]
    weights = [weight if n in trained else 0.0 for n in range(len(tokens))]
    return LabelledRow(tokens, labels, [] if weight == 1.0 else weights)


def columns(row: LabelledRow) -> dict:
    return {"input_ids": row.input_ids, "labels": row.labels, "weights": row.weights}


def sum_of_losses(model, rows: list[LabelledRow]) -> tuple[float, dict[str, torch.Tensor]]:
    """In closed form: weight times negative log-probability, row by row, with plain logits."""
    model.zero_grad()
    total = torch.tensor(0.0)
    for row in rows:
        log_probs = model(input_ids=torch.tensor([row.input_ids])).logits[0].log_softmax(-1)
        for place, (label, weight) in enumerate(zip(row.labels, row.weight_of_each(), strict=True)):
            if label != IGNORED and place:
                total = total - weight * log_probs[place - 1, label]
    total.backward()
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    return total.item(), gradients


def packed_loss(model, batch: dict) -> tuple[float, dict[str, torch.Tensor]]:
    model.zero_grad()
    outputs = model(**batch, fused_lm_head=True)
    loss = -outputs.log_probs.sum()
    loss.backward()
    return loss.item(), {name: weight.grad for name, weight in model.named_parameters()}


def check_equal(reference, model, rows, batch) -> None:
    expected, expected_gradients = sum_of_losses(reference, rows)
    loss, gradients = packed_loss(model, batch)
    assert loss == pytest.approx(expected, rel=1e-5, abs=1e-5)
    for name, gradient in expected_gradients.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-4, atol=1e-5)


def prepared(model):
    model = copy.deepcopy(model)
    add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))
    score_labelled_tokens_only(model)
    return model


ROWS = [
    make_row([5, 9, 2, 7, 30, 31, 4, 4, 8], range(3, 6)),
    make_row([5, 9, 2], range(1, 3), weight=0.5),
    make_row([50, 1, 2, 3, 5, 8, 13, 21, 34, 55, 6, 7], range(6, 12), weight=-0.25),
    make_row([17], range(0)),
]


@pytest.mark.parametrize("attention", ["eager", "sdpa", "sdpa in nodes"])
@pytest.mark.parametrize("name", list(MODELS))
def test_packed_rows_train_as_rows_on_their_own(name: str, attention: str) -> None:
    model = make(name, attention.split()[0])
    ours = prepared(model)
    if attention == "sdpa in nodes":
        assert can_pack(ours)
        assert ours.config._attn_implementation == NAME
    check_equal(model, ours, ROWS, PackedCollator()([columns(row) for row in ROWS]))


@pytest.mark.parametrize("attention", ["eager", "sdpa in nodes"])
def test_gradient_checkpointing_changes_nothing(attention: str) -> None:
    model = make("llama", attention.split()[0])
    ours = prepared(model)
    assert can_pack(ours)
    ours.activation_checkpointing_enable({"use_reentrant": False})
    ours.train()
    check_equal(model, ours, ROWS, PackedCollator()([columns(row) for row in ROWS]))


@st.composite
def families(draw) -> list[LabelledRow]:
    """Rows that go on from one another's beginnings, as the turns of an episode do."""
    token = st.integers(1, 5)
    stems = [draw(st.lists(token, min_size=1, max_size=8))]
    rows = []
    for _ in range(draw(st.integers(1, 5))):
        stem = draw(st.sampled_from(stems))
        turn = draw(st.lists(token, min_size=1, max_size=4))
        tail = draw(st.lists(token, max_size=3))
        span = range(len(stem), len(stem) + len(turn))
        rows.append(make_row([*stem, *turn, *tail], span, draw(st.sampled_from([1.0, 0.5]))))
        stems.append([*stem, *draw(st.lists(token, max_size=6))])
    return rows


def parents(nodes: list[Node]) -> set[int]:
    return {node.parent for node in nodes}


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@settings(max_examples=8)
@given(rows=families(), at_least=st.integers(1, 6))
def test_rows_that_share_beginnings_train_as_rows_on_their_own(attention, rows, at_least) -> None:
    model = make("llama", attention)
    ours = prepared(model)
    assert can_pack(ours) and can_share(ours)
    line = share(rows, at_least)
    assert all(
        node.length >= at_least for n, node in enumerate(line.nodes) if n in parents(line.nodes)
    )
    item = {
        "input_ids": line.input_ids,
        "labels": line.labels,
        "weights": line.weights,
        "nodes": line.nodes,
    }
    check_equal(model, ours, [ROWS[0], *rows], PackedCollator()([columns(ROWS[0]), item]))
    assert sum(label != IGNORED for label in line.labels) == sum(r.trained_tokens for r in rows)


def test_what_rows_share_is_laid_out_once() -> None:
    prompt = list(range(1, 41))
    rows = [make_row([*prompt, n, 3], range(40, 42)) for n in (50, 51, 52)]
    line = share(rows)
    assert line.nodes[0] == Node(0, 39, ROOT)
    assert [node.parent for node in line.nodes[1:]] == [0, 0, 0]
    assert len(line.input_ids) == 39 + 3 * 3
    assert line.positions() == [*range(39), *[39, 40, 41] * 3]


def test_rows_of_a_batch_share_instructions_and_nothing_short() -> None:
    model = make("llama")
    ours = prepared(model)
    assert can_pack(ours)
    prompt = [n % 7 + 1 for n in range(WORTHWHILE)]
    task = [n % 5 + 20 for n in range(WORTHWHILE)]
    beginnings = [[*prompt, 9, *task, 3], [*prompt, 8, 3], [*prompt, 9, *task, 4], prompt[:9]]
    rows = [
        make_row([*begin, 40, 41, 42 + n], range(len(begin) + 1, len(begin) + 3), weight=n + 0.5)
        for n, begin in enumerate(beginnings)
    ]
    batch = PackedCollator(is_shared=True)([columns(row) for row in rows])
    lengths = sorted(node.length for node in batch["layout"].nodes)
    assert lengths == [4, 4, 5, 12, WORTHWHILE, WORTHWHILE + 1]
    check_equal(model, ours, rows, batch)
    assert 2 * WORTHWHILE / 3 < common_beginning([rows[0], rows[2], rows[1], rows[3]]) < 40
    assert common_beginning(rows[3:]) == common_beginning([rows[3], rows[0]]) == 0


def test_a_window_of_attention_is_not_packed() -> None:
    config = MistralConfig(**SIZES, sliding_window=4)
    assert not can_pack(MistralForCausalLM(config))


def test_a_model_that_loses_the_layout_is_not_packed() -> None:
    """A forward pass that drops what it does not know would let rows see each other."""
    model = make("llama")
    whole = model.model.forward
    model.model.forward = lambda input_ids, use_cache, **dropped: whole(
        input_ids=input_ids, use_cache=use_cache
    )
    assert not can_pack(model)
    assert model.config._attn_implementation == "sdpa"


def test_the_meter_counts_useful_and_computed_tokens() -> None:
    model = prepared(make("llama"))
    meter = Meter()
    counted = make("llama")
    add_fused_lm_head(counted, outputs=("log_probs", "entropy", "is_top1"))
    score_labelled_tokens_only(counted, meter)
    ids = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]])
    padded = {
        "input_ids": ids,
        "attention_mask": (ids > 0).long(),
        "labels": torch.tensor([[-100, -100, 3, 4], [-100, 6, -100, -100]]),
    }
    assert can_pack(counted)
    counted.train()
    counted(**padded, fused_lm_head=True)
    counted(**PackedCollator()([columns(row) for row in ROWS]), fused_lm_head=True)
    assert meter.has_counted
    assert meter.useful_share == round(31 / 33, 4)
    assert (meter.computed, meter.useful, meter.labelled) == (8 + 25, 6 + 25, 3 + 11)
    body = sum(w.numel() for w in model.parameters()) - 61 * 32
    assert model_size(model).training_flops(10, 4) == 6 * (body * 10 + 61 * 32 * 4)
    assert peak_flops(torch.device("cpu")) > 1e8
