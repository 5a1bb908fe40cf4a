"""Students whose weights are kept in 4 bits, to train adapters on (QLoRA, 2305.14314).

bitsandbytes quantises the weights to NormalFloat while they are loaded. What is trained and saved
are adapters alone; a student is loaded with them on its full weights.
"""

import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from agentkd.errors import ConfigError, StudentNotFoundError
from agentkd.students.load import Student, load_student
from agentkd.students.tiny import BASE


def load_in_four_bits(name: str) -> Student:
    """Load a student by name.

    Raises `ConfigError` without bitsandbytes, and `StudentNotFoundError`.
    """
    if find_spec("bitsandbytes") is None:
        raise ConfigError(
            "train.lora.four_bit needs bitsandbytes; install it with: pip install bitsandbytes, or "
            "train adapters on the full weights with --train.lora.four_bit false"
        )
    if name == "tiny":
        return _load(name, str(BASE))
    if name != "smollm2" and not (Path(name) / "adapter_config.json").is_file():
        return _load(name, name)
    whole = load_student(name)
    with tempfile.TemporaryDirectory() as folder:
        whole.model.save_pretrained(folder)
        whole.tokenizer.save_pretrained(folder)
        return _load(name, folder)


def _load(name: str, source: str) -> Student:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        model = AutoModelForCausalLM.from_pretrained(
            source, quantization_config=settings, dtype=torch.float32
        )
    except (OSError, ValueError) as error:
        raise StudentNotFoundError(f"cannot load the student '{name}': {error}") from error
    _keep_trainable(model)
    model.config.name_or_path = name if name in ("tiny", "smollm2") else model.config.name_or_path
    return Student(name, model, tokenizer)


def _keep_trainable(model: Any) -> None:
    """Keep bitsandbytes from laying the weights out for inference at the first evaluation.

    It does so on a CPU with AVX-512, and no gradient passes through that layout: what is trained
    afterwards would be wrong.
    """
    for layer in model.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False
