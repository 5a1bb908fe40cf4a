"""REDI: learn from good traces, and unlearn bad ones with a smaller weight; no reference model.

Xu et al., Harnessing Negative Signals: Reinforcement Distillation from Teacher Data for LLM
Reasoning (2505.24850). Over pairs of a better episode w and a worse one l,

    L = mean[ -log p(w) / |w|  +  alpha * log p(l) / |l| ],

where |.| counts trained tokens. alpha = 0 is imitation normalised by length; alpha = 1 is the limit
of DPO without a reference. The paper trains on pairs after SFT; start from such a student. What the
environment said is no part of w and l, as in ETO.

Too much weight on bad traces makes both likelihoods fall together; the trainer warns of that.
"""

import logging
from typing import Any, ClassVar

import torch
from trl import SFTTrainer

from agentkd.recipe import TrainSection
from agentkd.run_folder import RunFolder
from agentkd.train.labelled_head import score_labels
from agentkd.train.methods.base import Examples, Job, Method
from agentkd.train.methods.batching import PairCollator
from agentkd.train.methods.pairs import pair_examples, require_pairs
from agentkd.train.methods.sft import sft_trainer

logger = logging.getLogger(__name__)

CHOSEN, REJECTED = "logps/chosen", "logps/rejected"


def redi_loss(chosen: torch.Tensor, rejected: torch.Tensor, alpha: float) -> torch.Tensor:
    """The loss of pairs, from the mean log-probability per trained token of each side, [pairs]."""
    return (alpha * rejected - chosen).mean()


class CollapseWatch:
    """Notices when both likelihoods fall at `patience` points in a row."""

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self._last: tuple[float, float] | None = None
        self._falls = 0

    def sees(self, chosen: float, rejected: float) -> bool:
        """Take the next point; true once both have fallen often enough, then it counts anew."""
        if self._last is not None and chosen < self._last[0] and rejected < self._last[1]:
            self._falls += 1
        else:
            self._falls = 0
        self._last = (chosen, rejected)
        if self._falls < self.patience:
            return False
        self._falls = 0
        return True


class RediTrainer(SFTTrainer):
    """`SFTTrainer` with REDI's loss."""

    loss_is_scaled_for_ga = False  # type: ignore[assignment]
    alpha: float
    watch: CollapseWatch

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """REDI's loss of a batch of [chosen; rejected]."""
        outputs = score_labels(model, inputs)
        tokens = outputs.label_mask.sum(dim=1).clamp(min=1)
        chosen, rejected = (outputs.log_probs.sum(dim=1) / tokens).chunk(2)
        metrics = self._metrics["train" if model.training else "eval"]
        for name, values in ((CHOSEN, chosen), (REJECTED, rejected)):
            gathered = self.accelerator.gather_for_metrics(values.detach())
            metrics[name].append(gathered.mean().item())
        return redi_loss(chosen, rejected, self.alpha)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, and warn if both sides have become less likely for a while."""
        super().log(logs, start_time)
        if CHOSEN in logs and self.watch.sees(logs[CHOSEN], logs[REJECTED]):
            logger.warning(
                "step %d: the good episodes have become less likely along with the bad ones at %d "
                "points in a row; lower --train.redi.alpha or --train.learning_rate",
                self.state.global_step,
                self.watch.patience,
            )


class Redi(Method):
    """Imitation of good episodes, repulsion from bad ones."""

    name: ClassVar[str] = "redi"
    summary: ClassVar[str] = "imitate the better episode and unlearn the worse, without a reference"
    paper: ClassVar[str] = "REDI (2505.24850)"
    metrics: ClassVar[tuple[str, ...]] = (CHOSEN, REJECTED)

    def check(self, run: RunFolder, settings: TrainSection) -> None:
        """The run needs pairs."""
        require_pairs(run)

    def examples(self, job: Job) -> Examples:
        """Labelled pairs."""
        return pair_examples(job, extra_rounds=None)

    def trainer(self, job: Job, examples: Examples, arguments: dict[str, Any]) -> Any:
        """The trainer above, which scores labelled tokens only."""
        trainer = sft_trainer(RediTrainer, job, examples, arguments, PairCollator(job.pad_token_id))
        trainer.alpha = job.settings.redi.alpha
        trainer.watch = CollapseWatch(job.settings.redi.patience)
        return trainer
