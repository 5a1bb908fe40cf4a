"""From training rows to tokens: labels, lengths, and nothing cut in silence."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from agentkd.errors import NothingToTrainError, RowTooLongError
from agentkd.train.labels import ChatRenderer, LabelledRow
from agentkd.trajectory import Message

if TYPE_CHECKING:
    from datasets import Dataset

QUANTILES = (0.0, 0.5, 0.9, 0.99, 1.0)


@dataclass
class LengthReport:
    """How long the rows are, in tokens, and how many did not fit."""

    limit: int
    lengths: list[int] = field(default_factory=list)
    trained_tokens: int = 0
    too_long: int = 0

    @property
    def total_tokens(self) -> int:
        """Tokens of the rows that fit."""
        return sum(self.lengths)

    def quantiles(self) -> dict[str, int]:
        """Lengths at the quantiles of `QUANTILES`."""
        ordered = sorted(self.lengths)
        last = len(ordered) - 1
        names = ("min", "median", "90 %", "99 %", "max")
        return {
            name: ordered[round(share * last)]
            for name, share in zip(names, QUANTILES, strict=True)
            if ordered
        }

    def describe(self) -> str:
        """One line for a person, printed before training."""
        lengths = ", ".join(f"{name} {value:,}" for name, value in self.quantiles().items())
        share = self.trained_tokens / self.total_tokens if self.total_tokens else 0.0
        return (
            f"{len(self.lengths):,} rows of {self.total_tokens:,} tokens ({lengths}); "
            f"{share:.0%} of the tokens carry loss; {self.too_long:,} rows are longer than "
            f"{self.limit:,}"
        )


def label_rows(
    rows: Iterable[dict[str, Any]],
    renderer: ChatRenderer,
    limit: int,
    too_long: Literal["error", "drop"],
) -> tuple[list[LabelledRow], LengthReport]:
    """Tokenise and label rows.

    Raises `RowTooLongError` if a row has more than `limit` tokens and `too_long` is `error`, and
    `NothingToTrainError` if no row is left.
    """
    report = LengthReport(limit)
    labelled: list[LabelledRow] = []
    longest = 0
    for row in rows:
        messages = [Message(entry["role"], entry["content"]) for entry in row["messages"]]
        tokens = renderer.label(messages, [entry["loss"] for entry in row["messages"]])
        if len(tokens.input_ids) > limit:
            report.too_long += 1
            longest = max(longest, len(tokens.input_ids))
            continue
        report.lengths.append(len(tokens.input_ids))
        report.trained_tokens += tokens.trained_tokens
        labelled.append(tokens)
    if report.too_long and too_long == "error":
        raise RowTooLongError(
            f"{report.too_long} of {report.too_long + len(labelled)} rows have more than {limit:,} "
            f"tokens (the longest {longest:,}). Raise train.max_tokens if the model can attend to "
            "more, or leave them out with --train.too_long drop"
        )
    if not labelled:
        raise NothingToTrainError(
            f"no row is left for training: {report.too_long} are longer than {limit:,} tokens"
        )
    return labelled, report


def to_dataset(rows: Sequence[LabelledRow]) -> "Dataset":
    """Make the dataset that TRL's `SFTTrainer` trains on unchanged."""
    from datasets import Dataset

    return Dataset.from_dict(
        {
            "input_ids": [row.input_ids for row in rows],
            "labels": [row.labels for row in rows],
            "length": [len(row.input_ids) for row in rows],
        }
    )
