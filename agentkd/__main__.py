"""`python -m agentkd` is `agentkd`."""

from agentkd.cli import main

main()
