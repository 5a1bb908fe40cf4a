"""ALM: match a teacher's likelihoods across tokenizers, chunk by chunk of the same bytes.

Minixhofer et al., Cross-Tokenizer Distillation via Approximate Likelihood Matching (2503.20083).
Teacher and student tokenise a message each in their way; wherever both end a token at the same
byte, a chunk ends. With y = log p(chunk) / temperature, the loss is the binary cross entropy

    mean over chunks of  -[ e^yT * yS + (1 - e^yT) * log(1 - e^yS) ].

Only the log-probabilities of the sampled text are needed, not the teacher's vocabulary: they come
from the record of the episodes, or from a local teacher that scores the rows. A message that
the teacher ended is one chunk more: its end-of-turn token against the student's. Other special
tokens and masked steps are in no chunk. Not done here: the paper's removal of chunks whose
tokenisation is biased.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from datasets import Dataset
from trl import SFTTrainer

from agentkd.curate.rows import read_rows
from agentkd.errors import NothingToTrainError
from agentkd.recipe import TrainSection
from agentkd.run_folder import RunFolder
from agentkd.train.dataset import LengthReport, label_rows
from agentkd.train.labelled_head import score_labels
from agentkd.train.labels import IGNORED, LabelledRow
from agentkd.train.methods.base import Examples, Job, Method
from agentkd.train.methods.batching import padded
from agentkd.train.methods.distillation import require_teacher
from agentkd.train.methods.sft import sft_trainer
from agentkd.train.methods.teacher_scores import (
    ScoredMessage,
    Scores,
    recorded_scores,
    require_recorded_scores,
    scored_by_teacher,
)
from agentkd.train.token_bytes import TokenBytes
from agentkd.train.trained_spans import trained_spans

CHUNKS, TEACHER = "chunks", "teacher_logprobs"
NO_CHUNK = -1
PADDING_LOGPROB = 1.0
"""No log-probability is positive."""


def common_chunks(one: Sequence[bytes], other: Sequence[bytes]) -> list[tuple[range, range]]:
    """Cut two tokenisations of the same bytes into the smallest chunks that both have.

    Returns the token positions of each chunk on both sides; they partition both sequences.
    Raises `ValueError` if the bytes differ.
    """
    if b"".join(one) != b"".join(other):
        raise ValueError("the tokens stand for different bytes")
    chunks: list[tuple[range, range]] = []
    start, place, ahead = (0, 0), 0, 0
    for index, piece in enumerate(one):
        ahead += len(piece)
        while place < len(other) and ahead > 0:
            ahead -= len(other[place])
            place += 1
        if ahead == 0 and place > start[1]:
            chunks.append((range(start[0], index + 1), range(start[1], place)))
            start = (index + 1, place)
    if chunks:  # tokens without bytes at the end belong to the last chunk
        first, second = chunks[-1]
        chunks[-1] = (range(first.start, len(one)), range(second.start, len(other)))
    return chunks


def alm_loss(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Mean binary cross entropy of chunks, from the log-likelihoods of both, [chunks]."""
    highest = -1e-7
    own = (student / temperature).clamp(max=highest)
    wanted = (teacher / temperature).clamp(max=highest)
    likelihood = wanted.exp()
    return -(likelihood * own + (1 - likelihood) * torch.log(-torch.expm1(own))).mean()


class AlmTrainer(SFTTrainer):
    """`SFTTrainer` with the loss of chunks."""

    loss_is_scaled_for_ga = False  # type: ignore[assignment]
    alm_temperature: float
    sft_weight: float

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The mean over the chunks of the batch, and the weighted cross entropy if asked for."""
        outputs = score_labels(model, inputs)
        teacher = inputs[TEACHER]
        chunks = chunk_logprobs(outputs.log_probs, inputs[CHUNKS][:, 1:], teacher.shape[1])
        is_chunk = teacher <= 0
        loss = alm_loss(chunks[is_chunk], teacher[is_chunk], self.alm_temperature)
        if self.sft_weight:
            tokens = outputs.label_mask.sum().clamp(min=1)
            loss = loss - self.sft_weight * outputs.log_probs.sum() / tokens
        return loss


def chunk_logprobs(log_probs: torch.Tensor, chunks: torch.Tensor, most: int) -> torch.Tensor:
    """Sum log-probabilities [rows, tokens] by chunk number [rows, tokens] to [rows, most]."""
    place = torch.where(chunks == NO_CHUNK, most, chunks)
    sums = log_probs.new_zeros(len(log_probs), most + 1).scatter_add(1, place, log_probs)
    return sums[:, :most]


class Alm(Method):
    """Likelihoods of a teacher with another tokenizer."""

    name: ClassVar[str] = "alm"
    summary: ClassVar[str] = "match the likelihoods of a teacher that has another tokenizer"
    paper: ClassVar[str] = "ALM (2503.20083)"

    def check(self, run: RunFolder, settings: TrainSection) -> None:
        """The teacher's tokenizer must be known, and its log-probabilities where they should be."""
        super().check(run, settings)
        require_teacher(settings)
        if settings.alm.source == "recorded":
            require_recorded_scores(run)

    def examples(self, job: Job) -> Examples:
        """Labelled rows with the chunk of each token and the teacher's likelihood of each chunk."""
        scored = job.settings.alm.source == "scored"
        scores = scored_by_teacher(job) if scored else recorded_scores(job)
        report = LengthReport(job.limit)
        train = _examples(job, "train", scores, report)
        if not train:
            raise NothingToTrainError(
                f"no row is left for training: {report.too_long} are longer than {job.limit:,} "
                "tokens, and the others have no message that the teacher scored"
            )
        held_out = _examples(job, "validation", scores, LengthReport(job.limit))
        return Examples(
            Dataset.from_list(train), Dataset.from_list(held_out) if held_out else None, report
        )

    def trainer(self, job: Job, examples: Examples, arguments: dict[str, Any]) -> Any:
        """The trainer above, which scores labelled tokens only."""
        padding = {
            "input_ids": job.pad_token_id,
            "labels": IGNORED,
            CHUNKS: NO_CHUNK,
            TEACHER: PADDING_LOGPROB,
        }

        def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
            return padded(rows, padding)

        trainer = sft_trainer(AlmTrainer, job, examples, arguments, collate)
        trainer.alm_temperature = job.settings.alm.temperature
        trainer.sft_weight = job.settings.alm.sft_weight
        return trainer


def _examples(job: Job, side: str, scores: Scores, report: LengthReport) -> list[dict[str, Any]]:
    token_bytes = TokenBytes(job.student.tokenizer)
    too_long = job.settings.too_long if side == "train" else "drop"
    end_of_turn = job.renderer.end_of_turn_id
    examples: list[dict[str, Any]] = []
    for row in read_rows(job.run.rows / f"{side}.parquet"):
        try:
            (tokens,), lengths = label_rows([row], job.renderer, job.limit, too_long)
        except NothingToTrainError:
            report.too_long += 1
            continue
        example = aligned(tokens, scores(row), token_bytes, end_of_turn)
        if example[TEACHER]:
            examples.append(example)
            report.lengths += lengths.lengths
            report.trained_tokens += lengths.trained_tokens
    return examples


def aligned(
    row: LabelledRow,
    messages: Sequence[ScoredMessage | None],
    token_bytes: TokenBytes,
    end_of_turn_id: int,
) -> dict[str, Any]:
    """Chunk number of each token of a row, and the teacher's log-likelihood of each chunk.

    `messages` are the scores of the row's trained messages, None where there are none. A message
    with bytes that the student's vocabulary has no token for is in no chunk.
    """
    chunk_of = [NO_CHUNK] * len(row.input_ids)
    teacher: list[float] = []
    spans = trained_spans(row.input_ids, row.labels, end_of_turn_id)
    for span, message in zip(spans, messages, strict=True):
        if message is None:
            continue
        ids = [row.input_ids[place] for place in span.text]
        own = token_bytes.of_text(ids, b"".join(message.pieces))
        if own is None:
            continue
        for ours, theirs in common_chunks(own, message.pieces):
            for place in ours:
                chunk_of[span.text[place]] = len(teacher)
            teacher.append(min(0.0, sum(message.logprobs[place] for place in theirs)))
        if message.end_logprob is not None and span.has_end:
            chunk_of[span.places[-1]] = len(teacher)
            teacher.append(message.end_logprob)
    return {
        "input_ids": row.input_ids,
        "labels": row.labels,
        CHUNKS: chunk_of,
        TEACHER: teacher,
        "length": len(row.input_ids),
    }
