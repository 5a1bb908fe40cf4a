"""Action formats: how replies are written and read. Narration: how an environment is retold."""

from agentkd_envs import UnknownNameError

from agentkd.prompts.bare import BareFormat
from agentkd.prompts.base import THOUGHT_ANSWER, ActionFormat, ParsedReply, ThinksApart
from agentkd.prompts.react import ReactFormat
from agentkd.prompts.think_action import ThinkActionFormat

__all__ = [
    "THOUGHT_ANSWER",
    "ActionFormat",
    "BareFormat",
    "ParsedReply",
    "ReactFormat",
    "ThinkActionFormat",
    "ThinksApart",
    "action_format",
]

_FORMATS: dict[str, type[ActionFormat]] = {
    "bare": BareFormat,
    "react": ReactFormat,
    "think_action": ThinkActionFormat,
}


def action_format(name: str) -> ActionFormat:
    """Return the action format of that name; raises `UnknownNameError`."""
    if name not in _FORMATS:
        raise UnknownNameError("action format", name, _FORMATS)
    return _FORMATS[name]()
