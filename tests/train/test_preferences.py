"""ETO and REDI: loss on the policy's own tokens of both sides, and nothing else."""

import copy
import json
import logging

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trl.trainer.dpo_trainer import DataCollatorForPreference

from agentkd.curate.rows import read_rows
from agentkd.errors import MissingStageError, NothingToTrainError, RowTooLongError
from agentkd.recipe import LoraSection, TrainSection
from agentkd.run_folder import RunFolder
from agentkd.students.load import load_student
from agentkd.train.methods.pairs import cut_to_rounds
from agentkd.train.methods.redi import CollapseWatch, redi_loss
from agentkd.train.run import train
from tests.train.small_runs import first_batch, log_probabilities, trainer_of


def own_tokens(batch) -> torch.Tensor:
    return (
        batch["completion_mask"].bool() if "completion_mask" in batch else batch["labels"] != -100
    )


def own_logprobs(model, batch) -> tuple[torch.Tensor, torch.Tensor]:
    """By hand: sums of log-probabilities over labelled tokens, and counts of them, [2 * pairs]."""
    sums, counts = [], []
    own = own_tokens(batch)
    for ids, is_trained, mask in zip(batch["input_ids"], own, batch["attention_mask"], strict=True):
        length = int(mask.sum())
        is_own = is_trained[1:length]
        sums.append(log_probabilities(model, ids[:length])[is_own].sum())
        counts.append(is_own.sum())
    return torch.stack(sums), torch.stack(counts)


@pytest.mark.parametrize("method", ["eto", "redi"])
def test_the_environments_turns_are_no_part_of_either_side(
    pairs_run: RunFolder, small: str, method: str
) -> None:
    trainer = trainer_of(pairs_run, method=method, student=small)
    batch = first_batch(trainer)
    tokenizer = load_student(small).tokenizer
    written = {
        message["content"]
        for pair in read_rows(pairs_run.rows / "pairs.parquet")
        for side in ("chosen", "rejected")
        for message in pair[side]
        if message["role"] == "assistant"
    }
    assert len(batch["input_ids"]) == 8
    for ids, mask in zip(batch["input_ids"], own_tokens(batch), strict=True):
        own = tokenizer.decode(ids[mask], skip_special_tokens=False)
        turns = own.split("<|end|>")
        assert turns.pop() == ""
        assert turns and set(turns) <= written


def test_trls_own_collator_would_train_on_what_the_environment_said(pairs_run: RunFolder) -> None:
    """Why `PreferenceCollator` exists; if this fails, TRL masks observations and it may go."""
    pair = next(read_rows(pairs_run.rows / "pairs.parquet"))
    student = load_student("tiny")
    ids = {
        side: student.tokenizer.apply_chat_template(
            [{"role": m["role"], "content": m["content"]} for m in pair[side][1:]],
            return_dict=False,
        )
        for side in ("chosen", "rejected")
    }
    example = {"prompt_ids": [1], "chosen_ids": ids["chosen"], "rejected_ids": ids["rejected"]}
    batch = DataCollatorForPreference(pad_token_id=0)([example])
    taught = student.tokenizer.decode(batch["input_ids"][0][batch["completion_mask"][0].bool()])
    observation = next(m["content"] for m in pair["chosen"][1:] if m["role"] == "user")
    assert observation in taught


def test_etos_loss_is_dpo_over_own_tokens(pairs_run: RunFolder, small: str) -> None:
    trainer = trainer_of(pairs_run, method="eto", student=small, eto={"beta": 0.3})
    batch = first_batch(trainer)
    assert trainer.compute_loss(trainer.model, batch).item() == pytest.approx(0.693147, abs=1e-5)
    reference = copy.deepcopy(load_student(small).model)
    with torch.no_grad():
        for weight in trainer.model.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(3))
        new, _ = own_logprobs(trainer.model, batch)
        old, _ = own_logprobs(reference, batch)
        loss = float(trainer.compute_loss(trainer.model, batch))
    chosen, rejected = (new - old).chunk(2)
    expected = -torch.nn.functional.logsigmoid(0.3 * (chosen - rejected)).mean()
    assert loss == pytest.approx(float(expected), rel=1e-4)
    assert abs(loss - 0.693147) > 1e-3


@pytest.mark.parametrize("method", ["eto", "redi"])
def test_what_a_pair_shares_is_computed_once_and_changes_nothing(
    pairs_run: RunFolder, small: str, method: str
) -> None:
    """Loss and gradients of padded rows, each on its own, and of the same rows as a tree."""
    found = {}
    for packing in (False, True):
        trainer = trainer_of(pairs_run, method=method, student=small, packing=packing)
        batch = first_batch(trainer)
        with torch.no_grad():
            for number, weight in enumerate(trainer.model.parameters()):
                dice = torch.Generator().manual_seed(number)
                weight += 0.02 * torch.randn(weight.shape, generator=dice)
        tokens = tokens_through(trainer.model)
        loss = trainer.compute_loss(trainer.model, batch)
        loss.backward()
        gradients = [weight.grad for weight in trainer.model.parameters()]
        found[packing] = loss.item(), gradients, tokens[0]
    assert found[True][0] == pytest.approx(found[False][0], rel=1e-5)
    for ours, plain in zip(found[True][1], found[False][1], strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-3, atol=1e-6)
    rows = int(batch["attention_mask"].sum())
    prompts = len(batch["input_ids"]) // 2
    assert found[True][2] < rows - 20 * prompts < found[False][2]


def tokens_through(model: torch.nn.Module) -> list[int]:
    """Fills up with how many tokens each forward pass takes."""
    tokens: list[int] = []
    model.model.embed_tokens.register_forward_hook(
        lambda module, args, output: tokens.append(args[0].numel())
    )
    return tokens


def test_eto_prefers_the_chosen_episodes(pairs_run: RunFolder, small: str) -> None:
    settings = TrainSection(
        method="eto", student=small, max_steps=12, batch_size=4, precision="fp32"
    )
    train(pairs_run, settings)
    lines = [json.loads(line) for line in pairs_run.training_log.read_text().splitlines()]
    points = [line for line in lines if "loss" in line]
    assert points[-1]["loss"] < 0.5 * points[0]["loss"]
    assert points[-1]["rewards/margins"] > points[0]["rewards/margins"]
    about = json.loads((pairs_run.student / "training.json").read_text())
    assert about["method"] == "eto"


@pytest.mark.parametrize("lora", [None, LoraSection(r=2, alpha=4)])
def test_eto_begins_without_a_preference_in_16_bits(
    pairs_run: RunFolder, small: str, lora: LoraSection | None
) -> None:
    """Student and reference are one model at first, and compute alike."""
    trainer = trainer_of(
        pairs_run, method="eto", student=small, precision="bf16", max_steps=1, lora=lora
    )
    trainer.train()
    first = next(entry for entry in trainer.state.log_history if "loss" in entry)
    assert first["rewards/chosen"] == first["rewards/rejected"] == 0
    assert first["loss"] == pytest.approx(0.693147, abs=1e-5)


def test_eto_with_adapters_saves_one_adapter(pairs_run: RunFolder, small: str) -> None:
    lora = LoraSection(r=2, alpha=4)
    train(pairs_run, TrainSection(method="eto", student=small, max_steps=2, lora=lora))
    assert (pairs_run.student / "adapter_config.json").is_file()
    assert not (pairs_run.student / "ref").exists()
    load_student(str(pairs_run.student))


def test_pairs_of_held_out_tasks_are_not_trained(pairs_run: RunFolder, small: str) -> None:
    held_out = {row["task_id"] for row in read_rows(pairs_run.rows / "validation.parquet")}
    pairs = list(read_rows(pairs_run.rows / "pairs.parquet"))
    watched = sum(pair["task_id"] in held_out for pair in pairs)
    assert 0 < watched < len(pairs)
    trainer = trainer_of(pairs_run, method="redi", student=small)
    assert len(trainer.train_dataset) == len(pairs) - watched
    assert len(trainer.eval_dataset) == watched
    assert trainer.evaluate()["eval_loss"] != 0


@pytest.mark.parametrize("rounds", [1, 2, 5, 100])
def test_a_rejected_episode_is_cut_behind_a_turn_of_its_own(pairs_run, rounds: int) -> None:
    pair = next(read_rows(pairs_run.rows / "pairs.parquet"))
    cut = cut_to_rounds(pair["rejected"], rounds)
    assert cut == pair["rejected"][: len(cut)]
    trained = sum(message["loss"] for message in cut)
    assert trained == min(rounds, sum(message["loss"] for message in pair["rejected"]))
    assert cut[-1]["role"] == "assistant"


def test_redi_is_the_formula(pairs_run: RunFolder, small: str) -> None:
    trainer = trainer_of(pairs_run, method="redi", student=small, redi={"alpha": 0.6})
    batch = first_batch(trainer)
    with torch.no_grad():
        sums, counts = own_logprobs(trainer.model, batch)
    chosen, rejected = (sums / counts).chunk(2)
    expected = float((-chosen + 0.6 * rejected).mean())
    assert trainer.compute_loss(trainer.model, batch).item() == pytest.approx(expected, rel=1e-5)


def test_redi_without_rejected_episodes_is_imitation(pairs_run: RunFolder, small: str) -> None:
    trainer = trainer_of(pairs_run, method="redi", student=small, redi={"alpha": 0})
    batch = first_batch(trainer)
    half = len(batch["input_ids"]) // 2
    expected = []
    for ids, labels in zip(batch["input_ids"][:half], batch["labels"][:half], strict=True):
        logits = trainer.model(input_ids=ids[None]).logits[0, :-1]
        expected.append(torch.nn.functional.cross_entropy(logits, labels[1:]))
    loss = trainer.compute_loss(trainer.model, batch)
    expected_loss = torch.stack(expected).mean().item()
    assert loss.item() == pytest.approx(expected_loss, rel=1e-4)


def test_a_step_of_redi_parts_the_likelihoods(pairs_run: RunFolder, small: str) -> None:
    trainer = trainer_of(pairs_run, method="redi", student=small)
    batch, model = first_batch(trainer), trainer.model
    with torch.no_grad():
        before, counts = own_logprobs(model, batch)
    trainer.compute_loss(model, batch).backward()
    with torch.no_grad():
        for weight in model.parameters():
            weight -= 0.5 * weight.grad
        after, _ = own_logprobs(model, batch)
    chosen, rejected = ((after - before) / counts).chunk(2)
    assert chosen.mean() > 0 > rejected.mean()


def test_labels_of_masked_tokens_do_not_matter_to_redi(pairs_run: RunFolder, small: str) -> None:
    """The gradient at the logits of a masked position is exactly zero."""
    trainer = trainer_of(pairs_run, method="redi", student=small, packing=False)
    batch = first_batch(trainer)
    heads = []
    hidden = trainer.model.model.register_forward_hook(
        lambda module, args, output: (
            heads.append(output.last_hidden_state.requires_grad_())
            or output.last_hidden_state.retain_grad()
        )
    )
    trainer.compute_loss(trainer.model, batch).backward()
    hidden.remove()
    is_own = batch["labels"][:, 1:] != -100
    gradient = heads[0].grad[:, :-1].abs().sum(-1)
    assert (gradient[~is_own] == 0).all()
    assert (gradient[is_own] > 0).all()


@given(
    st.lists(st.tuples(st.floats(-9, 0), st.floats(-9, 0)), min_size=1, max_size=5),
    st.floats(0, 1),
)
def test_redis_signs(pairs: list[tuple[float, float]], alpha: float) -> None:
    chosen, rejected = torch.tensor(pairs, dtype=torch.float64).T
    symmetric = redi_loss(chosen, rejected, 1.0)
    assert torch.allclose(symmetric, -redi_loss(rejected, chosen, 1.0))
    better = redi_loss(chosen + 0.1, rejected, alpha)
    assert better < redi_loss(chosen, rejected, alpha)
    assert redi_loss(chosen, rejected + 0.1, alpha) >= redi_loss(chosen, rejected, alpha)


def test_a_collapse_is_noticed_after_patience_falls_in_a_row() -> None:
    watch = CollapseWatch(patience=2)
    points = [(-1, -1), (-1.1, -1.2), (-1.2, -1.3), (-1.3, -1.4), (-1.2, -1.5), (-1.3, -1.6)]
    assert [watch.sees(*point) for point in points] == [False, False, True, False, False, False]


def test_a_collapse_is_said(pairs_run: RunFolder, small: str, caplog) -> None:
    trainer = trainer_of(pairs_run, method="redi", student=small, redi={"patience": 1})
    with caplog.at_level(logging.WARNING):
        for value in (-1.0, -2.0):
            trainer.log({"logps/chosen": value, "logps/rejected": value})
    assert "lower --train.redi.alpha" in caplog.text


@pytest.mark.parametrize("method", ["eto", "redi"])
def test_without_pairs_nothing_is_loaded(rows_run: RunFolder, method: str) -> None:
    with pytest.raises(MissingStageError, match=r"pairs\.parquet.*curate --curate.pairs 4 --run"):
        train(rows_run, TrainSection(method=method, student="/nowhere"))


def test_pairs_that_do_not_fit(pairs_run: RunFolder, small: str) -> None:
    settings = {"method": "redi", "student": small, "max_tokens": 16}
    with pytest.raises(RowTooLongError):
        trainer_of(pairs_run, **settings)
    with pytest.raises(NothingToTrainError, match="more than 16 tokens"):
        trainer_of(pairs_run, too_long="drop", **settings)
