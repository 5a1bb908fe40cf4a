"""The terminal of the commands. Of several processes of one training, one speaks."""

import logging

from rich.console import Console

from agentkd.train.processes import is_main_process

console = Console(soft_wrap=True, quiet=not is_main_process())
errors = Console(soft_wrap=True, stderr=True)


class SaidOnce(logging.Filter):
    """Lets a message through once: a damaged line is met each time that its file is read."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the message is new."""
        message = record.getMessage()
        is_new = message not in self._said
        self._said.add(message)
        return is_new


def heading(stage: str, what: str) -> None:
    """Say which stage begins."""
    console.print(f"[bold]{stage}[/bold]  {what}", highlight=False)


def name_next(command: str, why: str = "next") -> None:
    """Say which command comes next."""
    console.print(f"{why}: [bold]{command}[/bold]", highlight=False)
