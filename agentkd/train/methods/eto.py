"""ETO: DPO on whole trajectories, with the environment's turns masked on both sides.

Song et al., Trial and Error: Exploration-Based Trajectory Optimization for LLM Agents (2403.02502).
The student explores training tasks; a pair is a better and a worse episode of one task, usually the
expert's and the student's own. The loss is DPO's (Rafailov et al., 2305.18290) with the student as
it was before this training as the reference. One call trains one iteration: explore with the result
and pair again for the next.

TRL's `DPOTrainer` gets the pairs tokenised and labelled. Left to itself it takes everything behind
the prompt for the completion, what the environment said included.
"""

import copy
from typing import Any, ClassVar

from trl import DPOConfig, DPOTrainer

from agentkd.recipe import TrainSection
from agentkd.run_folder import RunFolder
from agentkd.train.labelled_head import score_labelled_tokens_only
from agentkd.train.methods.base import Examples, Job, Method
from agentkd.train.methods.batching import PreferenceCollator
from agentkd.train.methods.pairs import pair_examples, require_pairs


class TrajectoryDPOTrainer(DPOTrainer):
    """`DPOTrainer` on pairs that are tokens and labels already."""

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        """TRL's, with student and reference in the same precision."""
        with self.accelerator.autocast():
            return super().compute_loss(*args, **kwargs)  # type: ignore[no-untyped-call]


class Eto(Method):
    """Preference of the better of two episodes."""

    name: ClassVar[str] = "eto"
    summary: ClassVar[str] = "prefer the better of two episodes of a task (trajectory DPO)"
    engine: ClassVar[str] = "DPOTrainer"
    paper: ClassVar[str] = "ETO (2403.02502)"
    metrics: ClassVar[tuple[str, ...]] = (
        "logps/chosen",
        "logps/rejected",
        "rewards/accuracies",
        "rewards/margins",
    )

    def check(self, run: RunFolder, settings: TrainSection) -> None:
        """The run needs pairs."""
        require_pairs(run)

    def examples(self, job: Job) -> Examples:
        """Labelled pairs, rejected episodes cut to a length near that of the chosen ones."""
        return pair_examples(job, job.settings.eto.extra_rounds)

    def trainer(self, job: Job, examples: Examples, arguments: dict[str, Any]) -> Any:
        """`DPOTrainer`; with adapters the reference is the model without them, else a copy."""
        config = DPOConfig(
            **arguments,
            beta=job.settings.eto.beta,
            loss_type=["sigmoid"],
            remove_unused_columns=False,
        )
        is_shared = job.is_shared  # Asked before the copy: it may change how the model attends.
        reference = None if job.settings.lora else copy.deepcopy(job.student.model)
        trainer = TrajectoryDPOTrainer(
            ref_model=reference,
            args=config,
            data_collator=PreferenceCollator(job.pad_token_id),
            train_dataset=examples.train,
            eval_dataset=examples.held_out,
            **job.trainer_options(),
        )
        score_labelled_tokens_only(job.student.model, job.meter, is_shared=is_shared)
        if reference is not None:
            score_labelled_tokens_only(reference, is_shared=is_shared)
        return trainer
