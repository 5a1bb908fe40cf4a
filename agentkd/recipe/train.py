"""The `train` section of a recipe: the student and how it learns."""

from typing import Literal, Self

from pydantic import Field, model_validator

from agentkd.recipe.methods import (
    AlmSection,
    EtoSection,
    GkdSection,
    MaskedThoughtSection,
    RediSection,
    SkipThinkingSection,
    TaidSection,
)
from agentkd.recipe.section import Section


class LoraSection(Section):
    """Low-rank adapters (Hu et al., 2106.09685)."""

    r: int = Field(default=16, ge=1)
    """Rank."""
    alpha: int = Field(default=32, ge=1)
    """Scale; the update is multiplied by alpha / r."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the adapter's input."""
    four_bit: bool = False
    """Keep the frozen weights in 4 bits (QLoRA, Dettmers et al., 2305.14314); needs
    bitsandbytes."""


class TrainSection(Section):
    """The student and how it learns."""

    student: str = "tiny"
    """Student: tiny, smollm2, a folder with a causal language model, or a Hub id."""
    method: str = "sft"
    """How the student learns: sft, rejection_sampling, eto, redi, gkd, taid, alm, masked_thought or
    skip_thinking."""
    teacher: str | None = None
    """Model that gkd, taid and alm learn from, named like a student."""
    eto: EtoSection = EtoSection()
    redi: RediSection = RediSection()
    gkd: GkdSection = GkdSection()
    taid: TaidSection = TaidSection()
    alm: AlmSection = AlmSection()
    masked_thought: MaskedThoughtSection = MaskedThoughtSection()
    skip_thinking: SkipThinkingSection = SkipThinkingSection()
    lora: LoraSection | None = None
    """Train adapters instead of all weights."""
    epochs: float = Field(default=1.0, gt=0)
    """Passes over the rows."""
    max_steps: int | None = Field(default=None, ge=1)
    """Optimizer steps, instead of whole epochs."""
    trained_tokens: int | None = Field(default=None, ge=1)
    """Tokens with loss to train on, instead of epochs: as many optimizer steps as have about that
    many, so that trainings on different rows are of equal size."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak learning rate; it falls to a tenth along a cosine."""
    warmup: float = Field(default=0.03, ge=0, lt=1)
    """Share of the steps in which the learning rate rises from 0."""
    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's decoupled weight decay."""
    batch_size: int = Field(default=16, ge=1)
    """Rows per optimizer step, of all processes together; rows that do not fill the last batch of
    a pass wait for the next one."""
    micro_batch_size: int | None = Field(default=None, ge=1)
    """Rows per forward pass; if not set, all of the batch, or with imitation as many as fit in
    memory well (`agentkd.train.memory`)."""
    max_tokens: int | None = Field(default=None, ge=8)
    """Longest row that is trained; the model's context if not set."""
    too_long: Literal["error", "drop"] = "error"
    """What to do with longer rows; nothing is ever cut."""
    unstable_template: Literal["split", "refuse"] = "split"
    """What to do if the chat template rewrites earlier turns: one row for each turn, or nothing."""
    packing: bool = True
    """Lay the rows of a batch end to end instead of padding them, where the model allows it; no
    row sees another, and the result is the same."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: far less memory, a third more time."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Arithmetic of the forward pass; auto takes bf16 where the machine computes it fast."""
    checkpoints: int = Field(default=4, ge=0)
    """Checkpoints in the course of the training, from which a killed run goes on."""
    monitor_episodes: int = Field(default=0, ge=0)
    """Tasks of the validation rows that the student plays whenever the held-out loss is measured,
    to see whether imitation still helps."""
    report_to: list[str] = Field(default_factory=list)
    """Experiment trackers beside the local log: trackio, wandb, tensorboard, mlflow and others."""
    seed: int = 0
    """Seed of the weights and of the order of the rows."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.max_steps is not None and self.trained_tokens is not None:
            raise ValueError("set max_steps or trained_tokens, not both")
        return self
