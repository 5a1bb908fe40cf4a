"""The seam of a training method: what it needs, what it trains on, and with which trainer.

The runner (`agentkd.train.run`) asks a method three things, in this order: `check`, before anything
is loaded; `examples`, tokens and labels out of the run's rows; `trainer`, one of TRL's, which the
runner then starts, resumes and saves. Everything that methods share stays in the runner.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from agentkd.curate.rows import read_rows
from agentkd.recipe import TrainSection
from agentkd.run_folder import RunFolder
from agentkd.students.load import Student
from agentkd.train.arguments import adapter_config
from agentkd.train.dataset import LengthReport, label_rows, label_what_fits, to_dataset
from agentkd.train.labels import ChatRenderer, LabelledRow

if TYPE_CHECKING:
    from datasets import Dataset

    from agentkd.train.throughput import Meter


@dataclass(frozen=True)
class Job:
    """One training: the run, its settings, and the student that learns."""

    run: RunFolder
    settings: TrainSection
    student: Student
    renderer: ChatRenderer

    @property
    def limit(self) -> int:
        """Longest row, in tokens."""
        context = self.student.context
        return min(self.settings.max_tokens or context, context)

    @property
    def pad_token_id(self) -> int:
        """What fills a row of a batch; no attention and no loss ever falls on it."""
        tokenizer = self.student.tokenizer
        padding = tokenizer.pad_token_id
        return int(self.renderer.end_of_turn_id if padding is None else padding)

    @cached_property
    def is_packed(self) -> bool:
        """Whether the rows of a batch are laid end to end; see `agentkd.train.packing`."""
        from agentkd.train.packing import can_pack

        return self.settings.packing and can_pack(self.student.model)

    @cached_property
    def is_shared(self) -> bool:
        """Whether what rows begin with alike is computed once."""
        from agentkd.train.packing import can_share

        return self.is_packed and can_share(self.student.model)

    @cached_property
    def meter(self) -> "Meter":
        """Counts what the training computes."""
        from agentkd.train.throughput import Meter

        return Meter()

    def trainer_options(self) -> dict[str, Any]:
        """What the constructor of every trainer gets."""
        return {
            "model": self.student.model,
            "processing_class": self.student.tokenizer,
            "peft_config": adapter_config(self.settings.lora),
        }


@dataclass(frozen=True)
class Examples:
    """What a trainer trains on."""

    train: "Dataset"
    held_out: "Dataset | None"
    report: LengthReport


class Method(ABC):
    """A training objective. Instances hold no state."""

    name: ClassVar[str]
    """What `train.method` says."""
    summary: ClassVar[str]
    """What it does, in one clause."""
    engine: ClassVar[str] = "SFTTrainer"
    """The trainer of TRL that it stands on."""
    paper: ClassVar[str]
    """Where it comes from."""
    packs: ClassVar[bool] = False
    """Whether its trainer takes packed batches."""
    metrics: ClassVar[tuple[str, ...]] = ()
    """What its trainer logs beside the loss and belongs in the training curve."""

    def check(self, run: RunFolder, settings: TrainSection) -> None:
        """Raise, before anything is loaded, if the run lacks what the method needs."""
        run.require(run.rows / "train.parquet", "curate")

    def examples(self, job: Job) -> Examples:
        """Tokens and labels of the run's rows; raises `NothingToTrainError`, `RowTooLongError`."""
        folder = job.run.rows
        rows, report = label_rows(
            read_rows(folder / "train.parquet"),
            job.renderer,
            job.limit,
            job.settings.too_long,
            job.settings.unstable_template,
        )
        held_out = label_what_fits(
            read_rows(folder / "validation.parquet"),
            job.renderer,
            LengthReport(job.limit),
            job.settings.unstable_template,
        )
        is_shared = self.packs and job.is_shared
        return Examples(
            to_dataset(self.view(job, rows), is_shared=is_shared),
            to_dataset(held_out, is_shared=is_shared) if held_out else None,
            report,
        )

    def view(self, job: Job, rows: list[LabelledRow]) -> list[LabelledRow]:
        """What of the labelled rows is trained; all of it, unless a method says otherwise."""
        return rows

    @abstractmethod
    def trainer(self, job: Job, examples: Examples, arguments: dict[str, Any]) -> Any:
        """Make the trainer. `arguments` are those of `agentkd.train.arguments`."""
