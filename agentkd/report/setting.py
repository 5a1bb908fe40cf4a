"""What was run, in a few lines: world, teacher, student, training, evaluation, machine.

Results on generated games are never called by the name of the benchmark that they resemble: what
the world is called here says what it is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agentkd.report.inputs import Inputs
from agentkd.report.quantities import duration, percent, plural, whole

_ABSENT = "not installed"


@dataclass(frozen=True)
class Setting:
    """Name of the world, what to know about it, and (label, text) lines about the run."""

    world: str
    caution: str
    lines: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]

    @property
    def agentkd(self) -> str:
        """Version that the run was begun with, empty if unknown."""
        return dict(self.versions).get("agentkd", "").removeprefix(_ABSENT)


def describe_setting(inputs: Inputs) -> Setting:
    """Say what is known; what is not recorded is left out."""
    world, caution = _world(inputs)
    return Setting(world, caution, tuple(_lines(inputs)), tuple(_versions(inputs.manifest)))


def _world(inputs: Inputs) -> tuple[str, str]:
    env = inputs.about.get("env") or inputs.setting("env.name")
    if isinstance(env, Mapping):
        env = env.get("name")
    options = inputs.about.get("options") or inputs.setting("env.options")
    options = options if isinstance(options, Mapping) else {}
    preset = inputs.about.get("preset") or options.get("preset")
    if not env:
        return "", ""
    if env != "household":
        return str(env) + (f", preset {preset}" if preset else ""), ""
    if options.get("data"):
        return "household (the user's own game files)", ""
    return (
        "household (generated games)" + (f", preset {preset}" if preset else ""),
        "The games are generated. They are like ALFWorld's, but they are not the same games, so "
        "these are not ALFWorld results.",
    )


def _lines(inputs: Inputs) -> Iterator[tuple[str, str]]:
    get = inputs.setting
    if inputs.recipe:
        yield "Recipe", inputs.recipe
    world, _ = _world(inputs)
    if world:
        yield "World", world
    protocol = inputs.about.get("protocol")
    if isinstance(protocol, Mapping):
        changed = ", ".join(map(str, protocol.get("changed", ())))
        yield "Protocol", str(protocol.get("name")) + (f", with other {changed}" if changed else "")
    if get("collect.policy") is not None:
        teacher = f"{get('collect.policy')}, {_count(get('collect.episodes'), 'task')}"
        attempts, mistakes = get("collect.attempts"), get("collect.mistakes")
        if attempts not in (None, 1):
            teacher += f", {attempts} attempts each"
        if mistakes and isinstance(mistakes, int | float):
            teacher += f", {percent(mistakes)} of its moves replaced by a mistake that it repairs"
        yield "Teacher", teacher
    if get("train.student") is not None:
        lora = get("train.lora")
        how = (
            f"LoRA adapters of rank {lora.get('r')}" if isinstance(lora, Mapping) else "all weights"
        )
        yield "Student", f"{get('train.student')}, {how} trained"
    training = _training(inputs)
    if training:
        yield "Training", training
    if get("eval.episodes") is not None:
        temperature = get("eval.temperature")
        decoding = f"temperature {temperature}" if temperature else "the most likely token"
        yield (
            "Evaluation",
            f"{_count(get('eval.episodes'), 'task')} per split, the same for every policy; local "
            f"models decode with {decoding}",
        )
    created = inputs.manifest.get("created")
    if created:
        yield "Begun", str(created).replace("T", " ").replace("+00:00", " UTC")
    cores = inputs.manifest.get("cpu_cores")
    platform = inputs.manifest.get("platform")
    if platform:
        yield "Machine", str(platform) + (f", {_count(cores, 'CPU core')}" if cores else "")


def _training(inputs: Inputs) -> str:
    log, get = inputs.log, inputs.setting
    parts = []
    if log.points:
        parts.append(plural(log.steps, "step"))
    if log.epochs is not None:
        parts.append(plural(round(log.epochs, 1), "epoch"))
    if get("train.batch_size") is not None:
        parts.append(f"{get('train.batch_size')} rows a step")
    if get("train.learning_rate") is not None:
        parts.append(f"peak learning rate {_plain(get('train.learning_rate'))}")
    if log.elapsed_s is not None:
        parts.append(duration(log.elapsed_s))
    if log.tokens_per_s is not None:
        parts.append(f"{whole(round(log.tokens_per_s))} tokens/s")
    return ", ".join(parts)


def _versions(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if manifest.get("git_revision"):
        yield "git revision", str(manifest["git_revision"])
    if manifest.get("python"):
        yield "python", str(manifest["python"])
    versions = manifest.get("versions")
    if isinstance(versions, Mapping):
        for name, number in versions.items():
            yield str(name), str(number) if number else _ABSENT


def _plain(number: Any) -> str:
    return f"{number:g}" if isinstance(number, int | float) else str(number)


def _count(number: Any, noun: str) -> str:
    return plural(number, noun) if isinstance(number, int | float) else f"{number} {noun}s"
