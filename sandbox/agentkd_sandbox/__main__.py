"""`python -m agentkd_sandbox build | check | gc`."""

import sys

from agentkd_sandbox.cli import app

if __name__ == "__main__":
    sys.exit(app())
