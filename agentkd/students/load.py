"""Loads students: one of `BUILT_IN`, a folder with a causal language model, or a Hub id."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentkd.errors import StudentNotFoundError, did_you_mean
from agentkd.students.fingerprint import fingerprint
from agentkd.students.smollm2 import load_smollm2, load_smollm2_tokenizer
from agentkd.students.tiny import BASE

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BUILT_IN = ("tiny", "tiny_questions", "tiny_shop", "smollm2")


@dataclass(frozen=True)
class Student:
    """A model and its tokenizer."""

    name: str
    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"

    @property
    def context(self) -> int:
        """Longest conversation that the model can attend to, in tokens."""
        config: Any = self.model.config.get_text_config(decoder=True)
        return int(config.max_position_embeddings)


def _ask_for_large_pages() -> None:
    """Let PyTorch hold large tensors on a CPU in pages of 2 MB (Linux).

    A training pass takes gigabytes anew at every step, and a fault for each 4 KB of them costs time
    and leaves holes. PyTorch reads this at its first allocation, so that it says nothing later.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def load_student(name: str) -> Student:
    """Load a student by name; an adapter folder is merged into its base.

    Raises `StudentNotFoundError`, naming what was tried, if there is no such model.
    """
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    _ask_for_large_pages()
    if name == "tiny":
        return _load(name, str(BASE))
    if name in ("tiny_questions", "tiny_shop"):
        return _copying(name)
    if name == "smollm2":
        return Student(name, *load_smollm2())
    path = Path(name)
    if path.is_dir():
        if (path / "adapter_config.json").is_file():
            return _load_adapter(name)
        if not (path / "config.json").is_file():
            raise StudentNotFoundError(
                f"the folder '{name}' holds no model: config.json is missing"
            )
    elif path.is_absolute() or name.startswith(".") or name.count("/") != 1:
        raise StudentNotFoundError(
            f"no student '{name}': it is not a folder, and neither one of {', '.join(BUILT_IN)} "
            f"nor a Hub id like 'organisation/model'.{did_you_mean(name, BUILT_IN)}"
        )
    return _load(name, name)


def load_tokenizer(name: str) -> "PreTrainedTokenizerBase":
    """Load a student's tokenizer alone; raises `StudentNotFoundError`."""
    from transformers import AutoTokenizer

    if name == "smollm2":
        return load_smollm2_tokenizer()
    if name == "tiny_questions":
        from agentkd.students.tiny_questions import build_question_tokenizer

        return build_question_tokenizer()
    path = Path(name)
    if (path / "adapter_config.json").is_file() and not (path / "tokenizer_config.json").is_file():
        return load_tokenizer(_base_of(path))
    source = str(BASE) if name == "tiny" else name
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise StudentNotFoundError(f"cannot load the tokenizer of '{name}': {error}") from error
    return tokenizer


def _load(name: str, source: str) -> Student:
    import torch
    from transformers import AutoModelForCausalLM

    try:
        tokenizer = load_tokenizer(source)
        model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise StudentNotFoundError(f"cannot load the student '{name}': {error}") from error
    return Student(name, model, tokenizer)


def _copying(name: str) -> Student:
    from agentkd.students.copying import build_copying_model
    from agentkd.students.tiny_questions import build_question_tokenizer
    from agentkd.students.tiny_shop import build_shop_tokenizer

    build = build_shop_tokenizer if name == "tiny_shop" else build_question_tokenizer
    tokenizer = build()
    return Student(name, build_copying_model(tokenizer, knows_words=name == "tiny_shop"), tokenizer)


def _load_adapter(name: str) -> Student:
    from peft import PeftModel

    source = _base_of(Path(name))
    try:
        base = load_student(source)
    except StudentNotFoundError as error:
        raise StudentNotFoundError(
            f"'{name}' is an adapter for '{source}', which cannot be loaded: {error}"
        ) from error
    _check_base(name, source, base)
    try:
        adapted: Any = PeftModel.from_pretrained(base.model, name)
    except (RuntimeError, ValueError) as error:
        raise _wrong_base(name, source) from error
    return Student(name, adapted.merge_and_unload(), base.tokenizer)


def _check_base(adapter: str, source: str, base: Student) -> None:
    """Raise `StudentNotFoundError` if the base is not the one that the adapter was trained on."""
    try:
        about = json.loads(Path(adapter, "training.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    recorded = about.get("base_fingerprint")
    if recorded and recorded != fingerprint(base.model):
        raise _wrong_base(adapter, source)


def _wrong_base(adapter: str, source: str) -> StudentNotFoundError:
    return StudentNotFoundError(
        f"the adapter '{adapter}' was trained on another model than the one that '{source}' is "
        "now; put its base back there, or name it in adapter_config.json"
    )


def _base_of(adapter: Path) -> str:
    """The model that an adapter was trained for."""
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    return str(config["base_model_name_or_path"])


def device_of_this_machine() -> str:
    """`cuda`, `mps` or `cpu`, the fastest that there is."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
