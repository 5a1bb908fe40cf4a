"""The sections of a recipe for the world, the agents, and the stages `collect` and `eval`."""

from typing import Any, Literal

from pydantic import Field

from agentkd.prompts.instructions import Instructions
from agentkd.recipe.section import Section


class EnvSection(Section):
    """The world that the agents act in."""

    name: str = "household"
    """Environment, one of those that `agentkd doctor` lists."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of that environment, for household: preset, kinds, dialect."""


class AgentSection(Section):
    """What every policy is told, and how it answers."""

    protocol: str | None = None
    """Published evaluation set-up, one of those that `agentkd envs protocols` lists; what is set
    beside it takes the place of its values."""
    format: str | None = None
    """Action format of the replies: react, think_action, bare, codeact, toolcalls or cot; the
    protocol's if not set, else react."""
    instructions: Instructions = "full"
    """How a system message explains the environment: full, short or none; a student that is trained
    for it needs little."""
    max_steps: int | None = Field(default=None, ge=1)
    """Step limit of an episode; the protocol's if not set, else the environment's own."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Token limit of an episode, prompts and completions of all its calls."""
    max_seconds: float | None = Field(default=None, gt=0)
    """Time limit of an episode: what policy and environment take, without waiting for a turn."""
    shots: int | None = Field(default=None, ge=0)
    """Solved examples in the system message, played by the environment's expert in the train split;
    the protocol's if not set, else none."""
    admissible: bool | None = None
    """Whether the admissible actions stand behind each observation; the protocol's if not set, else
    not."""
    history: int | None = Field(default=None, ge=0)
    """Steps that each message retells, standing alone; the protocol's if not set, else the whole
    conversation is kept."""


class CollectSection(Section):
    """The teacher's episodes."""

    policy: str = "expert"
    """Teacher: expert, random, teacher for the chat model of the section `teacher`, reflecting for
    the base agent and critic of the section `reflect`, boosted for the teacher with plans of the
    section `boost`, or student for train.student itself."""
    temperature: float = Field(default=0.7, ge=0)
    """Sampling temperature of the student, if it plays."""
    split: str = "train"
    """Split that the tasks come from."""
    episodes: int = Field(default=1000, ge=1)
    """Tasks to play."""
    first: int = Field(default=0, ge=0)
    """Index of the first task within the split."""
    attempts: int = Field(default=1, ge=1)
    """Episodes per task."""
    mistakes: float = Field(default=0.0, ge=0, le=1)
    """Share of the expert's moves that are replaced by a plausible mistake, which the expert then
    repairs; a mistake stays in the context and carries no loss."""
    seed: int = 0
    """Seed of whatever is random in the policies."""
    concurrency: int = Field(default=64, ge=1)
    """Episodes in flight."""


class EvalSection(Section):
    """The comparison on held-out tasks."""

    policies: list[str] = Field(default=["random", "expert", "untrained", "student"], min_length=1)
    """Policies to compare: random, expert, teacher, untrained (the student before training),
    student; with what helps them behind a plus sign, as in student+demos."""
    splits: list[str] | None = Field(default=None, min_length=1)
    """Splits to compare them on; the protocol's if not set, else seen and unseen."""
    episodes: int | None = Field(default=None, ge=1)
    """Tasks per split, the same for every policy; the protocol's if not set, else 200."""
    attempts: int = Field(default=1, ge=1)
    """Episodes per task, each with a seed of its own; more than one gives pass@k and pass^k."""
    first: int = Field(default=0, ge=0)
    """Index of the first task within the split."""
    temperature: float = Field(default=0.0, ge=0)
    """Sampling temperature of local models; 0 takes the most likely token."""
    max_new_tokens: int = Field(default=64, ge=1)
    """Longest reply of a local model, in tokens."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of local models. bf16 halves their memory, and is faster where the machine
    computes it natively; near ties it may choose another token."""
    seed: int = 0
    """Seed of whatever is random in the policies."""
    allow_contaminated: bool = False
    """Also measure on tasks that a policy was trained on; they are counted in the summary."""
    concurrency: int = Field(default=128, ge=1)
    """Episodes in flight; a local model decodes them as one batch."""
