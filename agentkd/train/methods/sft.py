"""Supervised fine-tuning on trajectories, with TRL's `SFTTrainer`.

The trainer gets ready-made `input_ids` and `labels` (`agentkd.train.labels`) and is used
unchanged: no template is rendered, nothing is truncated, no row is dropped behind the user's back.
Its loss is computed where labels are and nowhere else (`agentkd.train.labelled_head`), on batches
without padding where the model allows it (`agentkd.train.packing`); padded ones hold rows of
similar length. A message without its loss flag stays in the context and is not trained: partial
masking, as in STeP.
"""

from typing import Any, ClassVar

from agentkd.train.methods.base import Examples, Job, Method

ROWS_LOOKED_AT = 64


class Sft(Method):
    """Cross entropy on the policy's own tokens."""

    name: ClassVar[str] = "sft"
    summary: ClassVar[str] = "imitate the rows; steps without their loss flag are context alone"
    paper: ClassVar[str] = "STeP (2505.20023) for the partial mask"
    packs: ClassVar[bool] = True

    def trainer(self, job: Job, examples: Examples, arguments: dict[str, Any]) -> Any:
        """TRL's `SFTTrainer`, which scores labelled tokens only, on batches without padding."""
        from trl import SFTTrainer

        from agentkd.train.packing import PackedCollator
        from agentkd.train.padding import PaddedCollator

        arguments = {**arguments, **in_parts(job, examples, arguments)}
        collator: Any = PaddedCollator(job.pad_token_id)
        if job.is_packed:
            collator = PackedCollator(job.is_shared)
            arguments = {**arguments, "train_sampling_strategy": "random"}
        return sft_trainer(SFTTrainer, job, examples, arguments, collator)


def in_parts(job: Job, examples: Examples, arguments: dict[str, Any]) -> dict[str, int]:
    """Arguments that take a batch in parts if it would not fit in memory well; the loss is a sum
    over the tokens of the batch, so that its gradient is the same.
    """
    from agentkd.train.memory import rows_at_once

    settings = job.settings
    if settings.micro_batch_size is not None:
        return {}
    rows = arguments["per_device_train_batch_size"]
    part = rows_at_once(
        job.student.model,
        rows,
        examples.report.total_tokens / len(examples.train),
        alike=_alike(examples) if job.is_shared else 0.0,
        is_checkpointed=settings.gradient_checkpointing,
        has_adapter=settings.lora is not None,
    )
    parts = arguments["gradient_accumulation_steps"] * (rows // part)
    return {"per_device_train_batch_size": part, "gradient_accumulation_steps": parts}


def _alike(examples: Examples) -> float:
    """Tokens that rows begin with alike, judged by rows from everywhere in the dataset."""
    from agentkd.train.packing import labelled_row
    from agentkd.train.shared_prefix import common_beginning

    rows = examples.train
    some = rows.select(range(0, len(rows), max(1, len(rows) // ROWS_LOOKED_AT)))
    return common_beginning([labelled_row(row) for row in some if not row.get("nodes")])


def sft_trainer(
    kind: Any, job: Job, examples: Examples, arguments: dict[str, Any], collator: Any = None
) -> Any:
    """Make `kind`, a subclass of TRL's `SFTTrainer`, on examples that are labelled already.

    `collator` makes their batches; None is TRL's own, for `input_ids` and `labels`.
    """
    from trl import SFTConfig

    from agentkd.train.labelled_head import score_labelled_tokens_only

    config = SFTConfig(
        **arguments,
        packing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        eos_token=None,
        pad_token=None,
        remove_unused_columns=collator is None,
    )
    trainer = kind(
        args=config,
        train_dataset=examples.train,
        eval_dataset=examples.held_out,
        data_collator=collator,
        **job.trainer_options(),
    )
    score_labelled_tokens_only(job.student.model, job.meter, is_shared=job.is_shared)
    return trainer
