"""Trains the student of a run, by the method that the recipe names.

What all methods share is here: the student is loaded, the method labels the run's rows and makes
one of TRL's trainers (`agentkd.train.methods`), and the training runs, resumes and is saved. A
killed training goes on from its last checkpoint, with the order of the rows, the optimizer and the
schedule as they were.
"""

import json
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentkd.errors import UserError
from agentkd.recipe import TrainSection
from agentkd.run_folder import RunFolder, write_text
from agentkd.students.fingerprint import fingerprint
from agentkd.students.four_bit import load_in_four_bits
from agentkd.students.load import load_student
from agentkd.train.arguments import optimizer_steps, rows_per_step, trainer_arguments
from agentkd.train.dataset import LengthReport
from agentkd.train.labels import ChatRenderer
from agentkd.train.methods import Examples, Job, Method, method_named
from agentkd.train.model_card import write_model_card
from agentkd.train.processes import is_main_process, process_count
from agentkd.train.progress import Observer
from agentkd.train.saving import save_student
from agentkd.train.trackers import check_trackers, tracker_arguments
from agentkd.train.trained_tasks import note_trained_tasks

if TYPE_CHECKING:
    from agentkd.train.monitor import Player

logger = logging.getLogger(__name__)


def is_trained(run: RunFolder) -> bool:
    """Whether the run has a finished student."""
    return (run.student / "training.json").is_file()


def train(
    run: RunFolder,
    settings: TrainSection,
    on_rows: Callable[[LengthReport], None] = lambda report: None,
    on_progress: Observer = lambda progress: None,
    play: "Player | None" = None,
) -> Path:
    """Train the student of a run on its rows; return the folder that holds it.

    `play` measures success whenever the held-out loss is (`agentkd.train.monitor`).

    Does nothing if the student is finished. Raises `ConfigError`, `MissingStageError`,
    `NothingToTrainError`, `RowTooLongError`, `StudentNotFoundError`, `TemplateError`, and
    `UserError` if the loss is not a number or memory runs out.
    """
    if is_trained(run):
        return run.student
    method = method_named(settings.method)
    method.check(run, settings)
    check_trackers(settings)
    is_four_bit = settings.lora is not None and settings.lora.four_bit
    student = (load_in_four_bits if is_four_bit else load_student)(settings.student)
    job = Job(run, settings, student, ChatRenderer(student.tokenizer))
    examples = method.examples(job)
    on_rows(examples.report)
    parameters = sum(weight.numel() for weight in student.model.parameters())
    base = fingerprint(student.model) if settings.lora and not is_four_bit else None
    trainer = make_trainer(method, job, examples, on_progress)
    if play is not None:
        from agentkd.train.monitor import SuccessMonitor

        trainer.add_callback(SuccessMonitor(trainer, play, run.training_log))
    started = time.monotonic()
    outcome = _run(trainer, _last_checkpoint(run.checkpoints))
    save_student(trainer, job)
    if not is_main_process():
        return run.student
    note_trained_tasks(run, settings.student)
    about = {
        "student": settings.student,
        "method": method.name,
        "parameters": parameters,
        "processes": process_count(),
        "rows": len(examples.train),
        "tokens": examples.report.total_tokens,
        "trained_tokens": examples.report.trained_tokens,
        "optimizer_steps": outcome.global_step,
        "trained_tokens_seen": round(
            examples.report.trained_tokens
            * outcome.global_step
            * rows_per_step(settings)
            / len(examples.train)
        ),
        "loss": outcome.training_loss,
        "seconds": round(time.monotonic() - started, 1),
        "device": str(trainer.model.device),
        **({"base_fingerprint": base} if base else {}),
    }
    write_model_card(run, settings, method, about)
    write_text(run.student / "training.json", json.dumps(about, indent=2) + "\n")
    return run.student


def make_trainer(
    method: Method, job: Job, examples: Examples, on_progress: Observer = lambda progress: None
) -> Any:
    """The method's trainer, with the training curve attached."""
    from agentkd.train.curve import CurveWriter
    from agentkd.train.row_order import take_whole_steps
    from agentkd.train.throughput import model_size

    settings, run = job.settings, job.run
    rows = len(examples.train)
    steps = optimizer_steps(settings, rows, examples.report.trained_tokens)
    arguments = trainer_arguments(
        settings, run.checkpoints, steps, has_held_out=examples.held_out is not None
    )
    size = model_size(job.student.model)
    arguments |= tracker_arguments(settings, run.path)
    trainer = method.trainer(job, examples, arguments)
    take_whole_steps(trainer, rows_per_step(settings))
    tokens_per_step = examples.report.total_tokens / rows * rows_per_step(settings)
    trainer.add_callback(
        CurveWriter(
            run.training_log,
            steps,
            tokens_per_step,
            on_progress,
            method.metrics,
            job.meter,
            size,
        )
    )
    for callback in list(trainer.callback_handler.callbacks):
        if type(callback).__name__ in {"PrinterCallback", "ProgressCallback"}:
            trainer.remove_callback(callback)
    return trainer


def _run(trainer: Any, checkpoint: Path | None) -> Any:
    """Train to the end; raises `UserError` for what a smaller or tamer training would avoid."""
    if checkpoint:
        logger.info("going on from %s", checkpoint.name)
    try:
        outcome = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        raise UserError(
            "the training does not fit in memory. Lower --train.micro_batch_size or set "
            "--train.gradient_checkpointing true, which change no result; or train adapters with "
            "--train.lora.r 16, or leave long rows out with --train.max_tokens N "
            "--train.too_long drop"
        ) from error
    if not math.isfinite(outcome.training_loss):
        raise UserError(
            "the loss is not a number any more; lower --train.learning_rate and train in a new run"
        )
    return outcome


def _is_out_of_memory(error: BaseException) -> bool:
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        "DefaultCPUAllocator: can't allocate memory" in str(error)
    )


def _last_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint that was written to its end."""
    found = [
        path
        for path in folder.glob("checkpoint-*")
        if path.name.removeprefix("checkpoint-").isdigit()
        and (path / "trainer_state.json").is_file()
    ]
    return max(found, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)
