"""Tags: a reply reasons inside `<think>` and acts inside `<action>`.

    <think>the mug must be on the desk</think><action>go to desk 1</action>

The format of verl's agents (GiGPO, 2505.10978). The reader takes the last pair of action tags that
is not empty, so that a plan which mentions the tag does no harm, and a closing tag may be missing
at the end of a reply that is complete.
"""

import re

from agentkd_envs import EnvSpec

from agentkd.prompts.base import ParsedReply
from agentkd.trajectory import FormatError

_ACTION = re.compile(r"<action>((?:(?!</?action>).)*)(</action>|$)", re.IGNORECASE | re.DOTALL)
_THOUGHT = re.compile(r"<think>(.*?)(</think>|<action>|$)", re.IGNORECASE | re.DOTALL)

_EXPLANATIONS: dict[FormatError, str] = {
    "malformed": "No action found. Think inside <think></think>, then write one action inside "
    "<action></action>.",
    "truncated": "Your answer was cut off before its action. Think shorter, then write one action "
    "inside <action></action>.",
}


class ThinkActionFormat:
    """`<think>...</think><action>...</action>`."""

    name = "think_action"

    def system_prompt(self, spec: EnvSpec) -> str:
        """Describe the environment and the two tags of a reply."""
        return (
            f"{spec.description.strip()}\n\n"
            "Answer each observation in this form, with one action:\n"
            "<think>what you conclude and what you will do next</think><action>ACTION</action>"
        )

    def render(self, thought: str, action: str) -> str:
        """Write both tags; the thinking may be empty."""
        return f"<think>{thought}</think><action>{action}</action>"

    def parse(self, text: str, finish_reason: str | None = None) -> ParsedReply:
        """Read the last action that is not empty, and the first thought."""
        thinking = _THOUGHT.search(text)
        thought = thinking.group(1).strip() if thinking else ""
        for match in reversed(list(_ACTION.finditer(text))):
            action = match.group(1).strip()
            if not action:
                continue
            if not match.group(2) and finish_reason == "length":
                return ParsedReply(None, thought, "truncated")
            return ParsedReply(action, thought)
        error: FormatError = "truncated" if finish_reason == "length" else "malformed"
        return ParsedReply(None, thought, error)

    def explain_error(self, error: FormatError) -> str:
        """One sentence, the same each time, so that a student can learn from it."""
        return _EXPLANATIONS[error]
