"""Takes `--section.key value` out of the command line: settings that override the recipe."""

from collections.abc import Sequence

from agentkd.errors import ConfigError


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the other arguments, and the dotted settings with their values as text.

    `--train.epochs 3` and `--train.epochs=3` are the same. Raises `ConfigError` for a setting
    without a value.
    """
    rest: list[str] = []
    overrides: dict[str, str] = {}
    waiting = iter(arguments)
    for argument in waiting:
        name, equals, value = argument.partition("=")
        if not name.startswith("--") or "." not in name:
            rest.append(argument)
            continue
        if not equals:
            following = next(waiting, None)
            if following is None or following.startswith("--"):
                raise ConfigError(f"the setting {name} needs a value: {name} VALUE")
            value = following
        overrides[name.removeprefix("--")] = value
    return rest, overrides
