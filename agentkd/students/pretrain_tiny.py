"""Makes the tokenizer and the base model of the `tiny` student that ship with the package.

    python -m agentkd.students.pretrain_tiny --minutes 40 --out agentkd/students/base

The tokenizer is trained on random play and on the expert's phrases with all entity names blanked
out, so that a phrase like `. Not here. Next:` is one token; a tokenizer knows no action. The model
is then trained on random play alone (`agentkd.students.random_play`), on every token, each
transcript once, until the time is up. It runs on a GPU where there is one.
"""

import argparse
import math
import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import anyio
import torch
from agentkd_envs import make_env
from transformers import AutoModelForCausalLM, AutoTokenizer

from agentkd.episode import run_episode
from agentkd.policies.mistakes import ErringExpertPolicy
from agentkd.prompts import action_format
from agentkd.students.load import device_of_this_machine
from agentkd.students.random_play import Transcript, class_names, transcripts
from agentkd.students.tiny import BASE, build_model, build_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TOKENIZER_TRANSCRIPTS = 4_000
WINDOW = 512
"""Transcripts that are sorted by length before they are batched."""


def tokenizer_texts() -> Iterator[str]:
    """Texts that the tokenizer learns its phrases and names from."""
    for transcript in transcripts(0, TOKENIZER_TRANSCRIPTS):
        for message in transcript.messages:
            yield message.content
    for number in range(1, 10):
        for name in class_names():
            yield from [f" {name} {number}"] * 40
    for name in class_names():
        yield from [f" {name}"] * 40
    yield from expert_phrases()


def expert_phrases() -> Iterator[str]:
    """What the expert says between names, each phrase many times, without the names."""
    env = make_env("household", preset="small")
    policy, style = ErringExpertPolicy(0.2), action_format("react")
    names = re.compile(rf" ?\b(?:{'|'.join(class_names())})\b(?: \d+)?")
    for task in env.tasks("train", 300):
        trajectory = anyio.run(partial(run_episode, policy, env, task, style, max_steps=50))
        for step in trajectory.steps:
            for phrase in names.split(step.text):
                yield from [phrase] * 10


def batches(
    tokenizer: "PreTrainedTokenizerFast", tokens_per_batch: int, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless batches of fresh transcripts as (input ids, labels), [rows, columns], padded
    right.
    """
    random, first = Random(seed), TOKENIZER_TRANSCRIPTS
    while True:
        rows = sorted(
            (_labelled(transcript, tokenizer) for transcript in transcripts(first, WINDOW)),
            key=lambda row: len(row[0]),
        )
        first += WINDOW
        groups: list[list[tuple[list[int], list[int]]]] = [[]]
        for pair in rows:
            if groups[-1] and (len(groups[-1]) + 1) * len(pair[0]) > tokens_per_batch:
                groups.append([])
            groups[-1].append(pair)
        random.shuffle(groups)
        for group in groups:
            width = max(len(row) for row, _ in group)
            ids = torch.zeros(len(group), width, dtype=torch.long)
            labels = torch.full((len(group), width), -100)
            for index, (row, trained) in enumerate(group):
                ids[index, : len(row)] = torch.tensor(row)
                labels[index, : len(row)] = torch.tensor(trained)
            yield ids, labels


def _labelled(
    transcript: Transcript, tokenizer: "PreTrainedTokenizerFast"
) -> tuple[list[int], list[int]]:
    texts = [f"<|{message.role}|>{message.content}<|end|>" for message in transcript.messages]
    ids: list[int] = []
    labels: list[int] = []
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"]
    for message, tokens in zip(transcript.messages, encoded, strict=True):
        ids += tokens
        is_trained = message.role == "assistant" or not transcript.has_exchanged_names
        labels += tokens if is_trained else [-100] * len(tokens)
    return ids, labels


def _optimizers(model: Any, learning_rate: float) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al., 2024) for the matrices of the layers, AdamW for everything else.

    Muon needs about half as many steps as AdamW here.
    """
    matrices = {
        name: weight
        for name, weight in model.named_parameters()
        if weight.ndim == 2 and "embed" not in name
    }
    others = [weight for name, weight in model.named_parameters() if name not in matrices]
    return [
        torch.optim.Muon(
            matrices.values(),
            lr=learning_rate,
            weight_decay=0.01,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW(others, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def main() -> None:
    """Parse the command line, train, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--out", type=Path, default=BASE)
    parser.add_argument("--tokens-per-batch", type=int, default=2560)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--go-on-from", type=Path, help="a base that is trained further")
    options = parser.parse_args()

    tokenizer: Any
    if options.go_on_from:
        tokenizer = AutoTokenizer.from_pretrained(options.go_on_from)
    else:
        tokenizer = build_tokenizer(tokenizer_texts(), class_names(), vocabulary=2304)
    tokenizer.save_pretrained(options.out)
    print(f"tokenizer: {len(tokenizer):,} tokens", flush=True)
    device = device_of_this_machine()
    model: Any = build_model(tokenizer, options.seed)
    if options.go_on_from:
        model = AutoModelForCausalLM.from_pretrained(options.go_on_from, dtype=torch.float32)
    model.to(device).train()
    forward: Any = torch.compile(model, dynamic=True)
    optimizers = _optimizers(model, options.learning_rate)
    started, seen, losses = time.monotonic(), 0, []
    for step, (ids, labels) in enumerate(
        batches(tokenizer, options.tokens_per_batch, options.seed)
    ):
        progress = (time.monotonic() - started) / (60 * options.minutes)
        if progress >= 1:
            break
        warm = min(1.0, progress / 0.02)
        cosine = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress))
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = options.learning_rate * warm * cosine
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = forward(input_ids=ids.to(device), labels=labels.to(device)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        seen += int((labels >= 0).sum())
        losses.append(loss.item())
        if step % 100 == 99:
            mean = sum(losses[-100:]) / 100
            seconds = time.monotonic() - started
            print(
                f"step {step + 1}: loss {mean:.4f}, {seen / 1e6:.1f} M tokens, {seconds:.0f} s",
                flush=True,
            )
        if step % 1000 == 999:
            model.save_pretrained(options.out)
    model.to(torch.bfloat16).save_pretrained(options.out)


if __name__ == "__main__":
    main()
