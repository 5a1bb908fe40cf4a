"""How fast live episodes write, with attention by groups and with transformers' own.

    python benchmarks/decoding.py
    python benchmarks/decoding.py --students smollm2 --live 32 --read 1000 --write 8

Rows read `--read` tokens and write `--write` each. The first token is part of reading; the rate
counts those behind it. Both ways run in one process, one after the other, `--rounds` times, and the
median counts.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from measuring import hardware

import agentkd.students.decoder as decoder_module
from agentkd.students.decoder import BatchedDecoder, Sampling
from agentkd.students.load import device_of_this_machine, load_student

NO_TOKEN = -1
"""A stop token that is never written."""


@contextmanager
def transformers_own() -> Iterator[None]:
    """Keep the model's own attention, which repeats keys and values."""

    @contextmanager
    def unchanged(model: Any) -> Iterator[None]:
        yield

    grouped = decoder_module.grouped_attention
    decoder_module.grouped_attention = unchanged
    try:
        yield
    finally:
        decoder_module.grouped_attention = grouped


def rate(model: Any, live: int, read: int, write: int) -> float:
    """Tokens per second, all rows together."""
    decoder = BatchedDecoder(model)
    rows = [decoder.open() for _ in range(live)]
    generator = torch.Generator().manual_seed(0)
    prompt = torch.randint(5, model.config.vocab_size, (read,), generator=generator).tolist()
    for row in rows:
        decoder.submit(row, prompt, Sampling(write), NO_TOKEN, 0)
    while any(row.is_prefill for row in rows):
        decoder.step()
    begin = time.perf_counter()
    while decoder.has_work:
        decoder.step()
    return live * (write - 1) / (time.perf_counter() - begin)


def measure(name: str, precision: str, options: argparse.Namespace) -> dict[str, Any]:
    """Both ways for one student."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    model = load_student(name).model.to(device_of_this_machine(), dtype)  # type: ignore[arg-type]
    grouped, own = [], []
    for _ in range(options.rounds):
        grouped.append(rate(model, options.live, options.read, options.write))
        with transformers_own():
            own.append(rate(model, options.live, options.read, options.write))
    ours, theirs = statistics.median(grouped), statistics.median(own)
    return {
        "student": name,
        "precision": precision,
        "grouped_tokens_per_s": round(ours, 1),
        "own_tokens_per_s": round(theirs, 1),
        "ratio": round(ours / theirs, 2),
    }


def main() -> None:
    """Print a line per student and precision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", nargs="+", default=["tiny", "smollm2"])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--live", type=int, default=32)
    parser.add_argument("--read", type=int, default=1000)
    parser.add_argument("--write", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(json.dumps(hardware()))
    for name in options.students:
        for precision in options.precisions:
            print(json.dumps(measure(name, precision, options)))


if __name__ == "__main__":
    main()
