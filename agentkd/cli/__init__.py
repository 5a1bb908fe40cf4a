"""The command line: `agentkd demo | collect | curate | train | eval | compare | report | import |
export | envs | play | sandbox | doctor | recipes`.

Every command works on a run folder, is driven by a recipe, says what it did and where it put it,
and names the next command. This package prints; the rest of agentkd does not.
"""

from agentkd.cli.main import app, main

__all__ = ["app", "main"]
