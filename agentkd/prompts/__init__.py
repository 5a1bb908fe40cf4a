"""Action formats: how replies are written and read."""

from agentkd_envs import UnknownNameError

from agentkd.prompts.base import ActionFormat, ParsedReply
from agentkd.prompts.react import ReactFormat

__all__ = ["ActionFormat", "ParsedReply", "ReactFormat", "action_format"]

_FORMATS: dict[str, type[ActionFormat]] = {"react": ReactFormat}


def action_format(name: str) -> ActionFormat:
    """Return the action format of that name; raises `UnknownNameError`."""
    if name not in _FORMATS:
        raise UnknownNameError("action format", name, _FORMATS)
    return _FORMATS[name]()
