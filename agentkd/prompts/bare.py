"""Bare lines: a reply is one line, either an action or a thought.

    > think: I need a mug first.
    > go to desk 1

The style of ReAct's prompts for text games (Yao et al., 2210.03629): thoughts are sparse, take a
turn of their own, and are answered by "OK.". The shop's spelling `think[...]` is read as well.
"""

import re

from agentkd_envs import EnvSpec

from agentkd.prompts.base import THOUGHT_ANSWER, ParsedReply
from agentkd.trajectory import FormatError

_THOUGHT = re.compile(r"think\s*(?::\s*(?P<words>.*)|\[(?P<inner>.*?)\]?$)", re.IGNORECASE)

_EXPLANATIONS: dict[FormatError, str] = {
    "malformed": "No action found. Answer with one line: '> ' and then one action.",
    "truncated": "Your answer was cut off. Answer with one short line: '> ' and then one action.",
}


class BareFormat:
    """One line per reply, after `> `."""

    name = "bare"

    def system_prompt(self, spec: EnvSpec) -> str:
        """Describe the environment and the one line of a reply."""
        return (
            f"{spec.description.strip()}\n\n"
            "Answer each observation with exactly one line: '> ' and then one action. "
            "To think, write '> think: ' and what you conclude instead; "
            f"it is answered by '{THOUGHT_ANSWER}' and changes nothing."
        )

    def render(self, thought: str, action: str) -> str:
        """Write the action; a thought is written by `render_thought`, as a reply of its own."""
        return f"> {action}"

    def render_thought(self, thought: str) -> str:
        """Write a thought as a reply of its own."""
        return f"> think: {thought}"

    def parse(self, text: str, finish_reason: str | None = None) -> ParsedReply:
        """Read the first line that is not empty."""
        lines = [line for line in map(_content, text.splitlines()) if line]
        is_cut = finish_reason == "length" and len(lines) < 2
        if not lines or is_cut:
            return ParsedReply(None, "", "truncated" if is_cut else "malformed")
        thinking = _THOUGHT.fullmatch(lines[0])
        if thinking:
            return ParsedReply(None, (thinking["words"] or thinking["inner"] or "").strip())
        return ParsedReply(lines[0])

    def explain_error(self, error: FormatError) -> str:
        """One sentence, the same each time, so that a student can learn from it."""
        return _EXPLANATIONS[error]


def _content(line: str) -> str:
    return line.strip().lstrip(">").strip()
