"""The order in which a training takes its rows: whole optimizer steps, the same after a restart.

Rows that do not fill the last step of a pass wait for the next one. Left to themselves, a trainer
that takes a batch in parts makes a step of what is left over, and processes that share a batch fill
it up with rows that had their turn: parts and processes would then not train as one does.

transformers draws the order of rows that are grouped by length from the global random numbers, so
that a training which goes on in the middle of a pass would draw another order for the rest of it.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from torch.utils.data import RandomSampler
from transformers.trainer_pt_utils import LengthGroupedSampler


class LengthOrder(LengthGroupedSampler):
    """Groups rows of like length; the order depends on the seed and the pass alone.

    The first `count` rows of the order are taken.
    """

    def __init__(self, batch_size: int, lengths: list[int], seed: int, count: int) -> None:
        super().__init__(batch_size, lengths=lengths, generator=torch.Generator())
        self.seed, self.count = seed, count
        self.epoch = 0

    def __len__(self) -> int:
        return self.count

    def set_epoch(self, epoch: int) -> None:
        """Say which pass begins; accelerate calls it."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        """Positions of rows."""
        self.generator.manual_seed(self.seed * 100_003 + self.epoch)
        order: Iterator[int] = super().__iter__()  # type: ignore[no-untyped-call]
        return islice(order, self.count)


def take_whole_steps(trainer: Any, rows_per_step: int) -> None:
    """Let a pass of a trainer end with its last whole optimizer step of `rows_per_step` rows.

    A data set that is smaller than one step is taken as a whole.
    """
    rows, arguments = len(trainer.train_dataset), trainer.args
    count = rows // rows_per_step * rows_per_step or rows
    if arguments.train_sampling_strategy == "group_by_length":
        batch = arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps
        lengths = list(trainer.train_dataset["length"])
        order: Any = LengthOrder(batch, lengths, arguments.data_seed, count)
    else:
        # accelerate puts a sampler with a seed of its own in its place, and keeps the count.
        order = RandomSampler(range(rows), num_samples=count)
    trainer._get_train_sampler = lambda *dataset: order
