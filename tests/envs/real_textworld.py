"""The real engine behind ALFWorld, for comparisons: TextWorld's PddlEnv with ALFWorld's names.

As shipped it parses the same template strings again for every admissible command, deep-copies their
contexts, and translates the PDDL four times an episode. `memoised` keeps all of its logic and only
avoids these repetitions, which makes a step more than ten times faster.
"""

import copy
import functools
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest import MonkeyPatch, importorskip


def require_alfworld() -> None:
    """Skip the test, saying why, where `alfworld` is not installed."""
    with warnings.catch_warnings():
        # Their imports warn about their own deprecations; ours stay errors.
        warnings.simplefilter("ignore")
        importorskip(
            "alfworld.agents.environment.alfred_tw_env",
            reason="alfworld is not installed: pip install 'agentkd[alfworld]'",
        )


class RealGame:
    """One engine that plays one game file after the other."""

    def __init__(self) -> None:
        import textworld
        from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
        from textworld.envs import PddlEnv

        infos = textworld.EnvInfos(won=True, admissible_commands=True)
        self.env = AlfredDemangler(PddlEnv(infos))

    def start(self, path: Path) -> tuple[str, list[str], bool]:
        """Load a game; return observation, admissible commands, won."""
        arguments = sys.argv
        try:
            # fast_downward.pddl2sas overwrites sys.argv
            self.env.load(str(path))
            state = self.env.reset()
        finally:
            sys.argv = arguments
        return state.feedback, state["admissible_commands"], bool(state["won"])

    def step(self, command: str) -> tuple[str, list[str], bool]:
        """Execute a command; return observation, admissible commands, won."""
        state, _, _ = self.env.step(command)
        return state.feedback, state["admissible_commands"], bool(state["won"])


def _copy_symbols(value: Any) -> Any:
    from textworld.envs.pddl.textgen import Symbol

    if isinstance(value, list):
        return [_copy_symbols(item) for item in value]
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, Symbol):
        duplicate = copy.copy(value)
        for inner in ("symbol", "expression"):
            if isinstance(getattr(value, inner, None), Symbol):
                setattr(duplicate, inner, _copy_symbols(getattr(value, inner)))
        return duplicate
    return value


@contextmanager
def memoised() -> Iterator[None]:
    """Make the real engine remember parsed templates, parsed queries and translated problems."""
    import fast_downward
    from textworld.envs.pddl import textgen
    from textworld.logic import Rule

    parse = functools.cache(lambda text, rule_name: original_parse(text, rule_name=rule_name))
    original_parse = textgen._parse_and_convert
    parse_query = functools.cache(Rule.parse_conjunctive_query)
    original_translate = fast_downward.pddl2sas
    translate = functools.lru_cache(1)(lambda domain, problem: original_translate(domain, problem))

    with MonkeyPatch.context() as patch:
        patch.setattr(
            textgen,
            "_parse_and_convert",
            lambda text, rule_name, **_: _copy_symbols(parse(text, rule_name)),
        )
        patch.setattr(textgen, "deepcopy", _copy_symbols)
        patch.setattr(Rule, "parse_conjunctive_query", parse_query)
        patch.setattr(
            fast_downward, "pddl2sas", lambda domain, problem, **_: translate(domain, problem)
        )
        yield
