"""Training, labels and student evaluation beside plain TRL, on the same rows in the same run.

    python benchmarks/train.py
    python benchmarks/train.py --json --students tiny --steps 20

Each student is trained as its own recipe trains it: the rows are episodes of the erring expert in
the small household world, collected here, for `tiny` without instructions and with all weights, for
SmolLM2 with instructions and LoRA adapters (`--all-weights` without adapters). Each figure is
measured in a fresh process, with the threads that PyTorch takes by itself:

- trained trajectories per second, from the end of the second optimizer step to that of the last;
- memory: the largest resident size of the process, and what of it training took on top of the
  loaded model;
- label building: tokens per second on one core, from rows as they are stored;
- student evaluation: episodes per second, 64 live in one batch, against `generate` on the whole
  conversation for one episode after the other.

Plain TRL is `SFTTrainer` with `assistant_only_loss` on the messages, with generation markers put
into the student's own chat template. It comes with gradient checkpointing and agentkd without; both
are measured with and without it. All in 32 bits, the same rows per optimizer step.
"""

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from household_engine import hardware

RECIPES = {"tiny": "household_small", "smollm2": "household_smollm2"}
BATCH = {"tiny": 16, "smollm2": 8}
GENERATION_TEMPLATES = {
    "tiny": (
        "{% for m in messages %}{{ '<|' + m['role'] + '|>' }}{% if m['role'] == 'assistant' %}"
        "{% generation %}{{ m['content'] + '<|end|>' }}{% endgeneration %}{% else %}"
        "{{ m['content'] + '<|end|>' }}{% endif %}{% endfor %}"
    ),
    "smollm2": (
        "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}"
        "{{ '<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, trained by Hugging "
        "Face<|im_end|>\\n' }}{% endif %}{{ '<|im_start|>' + m['role'] + '\\n' }}"
        "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] + '<|im_end|>' }}"
        "{% endgeneration %}{% else %}{{ m['content'] + '<|im_end|>' }}{% endif %}{{ '\\n' }}"
        "{% endfor %}"
    ),
}


def write_run(folder: Path, recipe: str, episodes: int) -> None:
    """Collect episodes as a recipe does and curate them into rows."""
    from agentkd.cli import main

    for stage in ("collect", "curate"):
        settings = [f"--collect.episodes={episodes}", "--collect.mistakes=0.1"]
        try:
            with contextlib.redirect_stdout(sys.stderr):
                main([stage, "--run", str(folder), "--recipe", recipe, *settings])
        except SystemExit as stopped:
            if stopped.code:
                raise


class Clock:
    """Seconds from the end of the second optimizer step to that of the last."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def attach(self, trainer: Any) -> None:
        """Note the time of each optimizer step."""
        from transformers import TrainerCallback

        clock = self

        class Tick(TrainerCallback):
            def on_step_end(self, *_: Any, **__: Any) -> None:
                clock.at.append(time.perf_counter())

        trainer.add_callback(Tick())

    def steps_per_s(self) -> float:
        """Optimizer steps per second."""
        return (len(self.at) - 2) / (self.at[-1] - self.at[1])


def resident_bytes() -> int:
    """Largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def trained(trainer: Any, batch: int) -> dict[str, float]:
    clock, before = Clock(), resident_bytes()
    clock.attach(trainer)
    outcome = trainer.train()
    return {
        "trajectories_per_s": batch * clock.steps_per_s(),
        "peak_bytes": resident_bytes(),
        "training_bytes": resident_bytes() - before,
        "loss": outcome.training_loss,
    }


def adapters(student: str, *, all_weights: bool) -> Any:
    """The LoRA settings of the student's recipe; None to train all weights."""
    from agentkd.recipe import build_recipe, recipe_values

    return None if all_weights else build_recipe(recipe_values(RECIPES[student]), {}).train.lora


def train_ours(
    student: str, run: Path, steps: int, *, checkpointing: bool, all_weights: bool
) -> dict[str, float]:
    from agentkd.recipe import TrainSection
    from agentkd.run_folder import RunFolder
    from agentkd.students.load import load_student
    from agentkd.train.labels import ChatRenderer
    from agentkd.train.methods import Job, method_named
    from agentkd.train.run import make_trainer

    settings = TrainSection(
        student=student,
        batch_size=BATCH[student],
        max_steps=steps,
        precision="fp32",
        gradient_checkpointing=checkpointing,
        lora=adapters(student, all_weights=all_weights),
        checkpoints=0,
        learning_rate=1e-4,
    )
    loaded = load_student(student)
    job = Job(RunFolder(run), settings, loaded, ChatRenderer(loaded.tokenizer))
    method = method_named("sft")
    examples = method.examples(job)
    with tempfile.TemporaryDirectory() as folder:
        job.run.training_log = Path(folder) / "log.jsonl"
        trainer = make_trainer(method, job, examples)
        trainer.args.eval_strategy = "no"
        return trained(trainer, BATCH[student])


def train_trl(
    student: str, run: Path, steps: int, *, checkpointing: bool, all_weights: bool
) -> dict[str, float]:
    os.environ["THP_MEM_ALLOC_ENABLE"] = "0"  # PyTorch's own default, which agentkd changes
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from agentkd.curate.rows import read_rows
    from agentkd.students.load import load_student
    from agentkd.train.methods.base import adapter_config

    loaded = load_student(student)
    loaded.tokenizer.chat_template = GENERATION_TEMPLATES[student]
    messages = [
        [{"role": entry["role"], "content": entry["content"]} for entry in row["messages"]]
        for row in read_rows(run / "rows" / "train.parquet")
    ]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = SFTConfig(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=BATCH[student],
            learning_rate=1e-4,
            assistant_only_loss=True,
            max_length=None,
            gradient_checkpointing=None if not checkpointing else True,
            activation_checkpointing=False if not checkpointing else None,
            bf16=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            eos_token=None,
            pad_token=None,
        )
        trainer = SFTTrainer(
            model=loaded.model,
            args=config,
            train_dataset=Dataset.from_dict({"messages": messages}),
            processing_class=loaded.tokenizer,
            peft_config=adapter_config(adapters(student, all_weights=all_weights)),
        )
        return trained(trainer, BATCH[student])


def build_labels(student: str, run: Path) -> dict[str, float]:
    from agentkd.curate.rows import read_rows
    from agentkd.students.load import load_tokenizer
    from agentkd.train.dataset import label_rows
    from agentkd.train.labels import ChatRenderer

    renderer = ChatRenderer(load_tokenizer(student))
    rows = list(read_rows(run / "rows" / "train.parquet"))
    label_rows(rows[:1], renderer, 10**6, "error")
    started = time.perf_counter()
    _, report = label_rows(rows, renderer, 10**6, "error")
    elapsed = time.perf_counter() - started
    return {"tokens_per_s": report.total_tokens / elapsed, "tokens": report.total_tokens}


def play(student: str, episodes: int, *, live: int) -> dict[str, float]:
    """Episodes per second of an untrained student with room for a few steps."""
    from agentkd_envs import make_env

    from agentkd.episode import run_episode
    from agentkd.policies.student import StudentPolicy
    from agentkd.prompts import action_format
    from agentkd.students.decoder import Sampling
    from agentkd.students.load import load_student

    loaded = load_student(student)
    sampling = Sampling(max_new_tokens=24)
    if live == 1:
        policy: Any = OneAfterTheOther(loaded, sampling.max_new_tokens)
    else:
        policy = StudentPolicy(loaded.model, loaded.tokenizer, name=student, sampling=sampling)
    style = action_format("react")
    tasks = make_env("household", preset="small").tasks("unseen", episodes)

    async def everything() -> float:
        limit = anyio.CapacityLimiter(live)

        async def one(task: Any) -> None:
            async with limit:
                env = make_env("household", preset="small")
                await run_episode(policy, env, task, style, max_steps=6)

        started = time.perf_counter()
        async with policy, anyio.create_task_group() as group:
            for task in tasks:
                group.start_soon(one, task)
        return time.perf_counter() - started

    return {"episodes_per_s": episodes / anyio.run(everything)}


class OneAfterTheOther:
    """A local model as most scripts evaluate it: `generate` on the whole conversation."""

    def __init__(self, student: Any, max_new_tokens: int) -> None:
        from agentkd.train.labels import ChatRenderer
        from agentkd.trajectory import PolicyInfo

        self.model, self.renderer = student.model.eval(), ChatRenderer(student.tokenizer)
        self.max_new_tokens = max_new_tokens
        self.info = PolicyInfo("student", student.name)

    async def begin(self, episode: Any) -> "OneAfterTheOther":
        """It keeps nothing between turns."""
        return self

    async def act(self, conversation: Any) -> Any:
        """Read everything, and write."""
        import torch

        from agentkd.policies.base import Reply

        prompt = self.renderer.encode(self.renderer.render(conversation.messages, generate=True))
        ids = torch.tensor([prompt])
        end = self.renderer.end_of_turn_id
        with torch.inference_mode():
            written = self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=self.max_new_tokens,
                eos_token_id=end,
                pad_token_id=end,
            )[0, len(prompt) :].tolist()
        is_done = bool(written) and written[-1] == end
        text = self.renderer.decode(written[:-1] if is_done else written)
        return Reply(text, "student", finish_reason="stop" if is_done else "length")

    async def close(self) -> None:
        """There is nothing to give back."""

    async def __aenter__(self) -> "OneAfterTheOther":
        return self

    async def __aexit__(self, *_: object) -> None: ...


def measure(what: str, options: argparse.Namespace) -> dict[str, float]:
    (student,), episodes = options.students, options.episodes
    ours, trl = (
        partial(kind, student, options.run, options.steps, all_weights=options.all_weights)
        for kind in (train_ours, train_trl)
    )
    figures = {
        "ours": partial(ours, checkpointing=False),
        "ours_with_checkpointing": partial(ours, checkpointing=True),
        "trl": partial(trl, checkpointing=True),
        "trl_without_checkpointing": partial(trl, checkpointing=False),
        "labels": partial(build_labels, student, options.run),
        "play_64_live": partial(play, student, episodes, live=64),
        "play_generate": partial(play, student, max(episodes // 8, 1), live=1),
    }
    return figures[what]()


FIGURES = (
    *("ours", "ours_with_checkpointing", "trl", "trl_without_checkpointing"),
    *("labels", "play_64_live", "play_generate"),
)


def measured(what: str, student: str, run: Path, options: argparse.Namespace) -> dict[str, float]:
    """Measure in a fresh process."""
    command = [sys.executable, __file__, "--measure", what, "--students", student]
    command += ["--run", str(run), "--steps", str(options.steps)]
    command += ["--episodes", str(options.episodes)]
    command += ["--all-weights"] if options.all_weights else []
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
    if what == "labels":
        environment |= {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def ratios(figures: dict[str, dict[str, float]]) -> dict[str, float]:
    pairs = {
        "as_they_come": ("ours", "trl"),
        "both_with_checkpointing": ("ours_with_checkpointing", "trl"),
        "both_without_checkpointing": ("ours", "trl_without_checkpointing"),
    }
    quantities = {
        "speed": "trajectories_per_s",
        "peak_memory": "peak_bytes",
        "training_memory": "training_bytes",
    }
    found = {
        f"{quantity}_{pair}": figures[ours][name] / max(figures[trl][name], 1e-9)
        for pair, (ours, trl) in pairs.items()
        if ours in figures and trl in figures
        for quantity, name in quantities.items()
    }
    if "play_64_live" in figures and "play_generate" in figures:
        live, alone = (
            figures[what]["episodes_per_s"] for what in ("play_64_live", "play_generate")
        )
        found["evaluation_speed"] = live / alone
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", nargs="+", choices=list(BATCH), default=list(BATCH))
    parser.add_argument("--rows", type=int, default=600, help="episodes to collect")
    parser.add_argument("--steps", type=int, default=30, help="optimizer steps")
    parser.add_argument("--episodes", type=int, default=128, help="episodes to play at 64 live")
    parser.add_argument("--figures", nargs="+", choices=FIGURES, default=list(FIGURES))
    parser.add_argument("--all-weights", action="store_true", help="SmolLM2 without adapters")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", choices=FIGURES, help=argparse.SUPPRESS)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options)))
        return
    results: dict[str, Any] = {"hardware": hardware(), "rows": options.rows}
    with tempfile.TemporaryDirectory() as folder:
        for student in options.students:
            run = Path(folder) / student
            write_run(run, RECIPES[student], options.rows)
            figures = {what: measured(what, student, run, options) for what in options.figures}
            results[student] = {**figures, "ratios": ratios(figures)}
    if options.json:
        print(json.dumps(results, indent=2))
        return
    print(results["hardware"])
    for student in options.students:
        for what, values in results[student].items():
            line = "  ".join(f"{name} {value:,.2f}" for name, value in values.items())
            print(f"{student:<8} {what:<26} {line}")


if __name__ == "__main__":
    main()
