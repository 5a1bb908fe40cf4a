"""The real engine behind ALFWorld, for comparisons: TextWorld's PddlEnv with ALFWorld's names.

As shipped it parses the same template strings again for every admissible command, deep-copies their
contexts, and translates the PDDL four times an episode. `memoised` keeps all of its logic and only
avoids these repetitions, which makes a step more than ten times faster.
"""

import copy
import functools
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest


class Situation(NamedTuple):
    """What an engine shows after a command."""

    text: str
    admissible: list[str]
    won: bool


def require_alfworld() -> None:
    """Skip the test, saying why, where `alfworld` is not installed."""
    with warnings.catch_warnings():
        # Importing it warns about its own dependencies; in our code warnings stay errors.
        warnings.simplefilter("ignore")
        pytest.importorskip(
            "alfworld.agents.environment.alfred_tw_env",
            reason="alfworld is not installed: pip install 'agentkd[alfworld]'",
        )


class RealGame:
    """One engine that plays one game after the other."""

    def __init__(self) -> None:
        import textworld
        from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
        from textworld.envs import PddlEnv

        infos = textworld.EnvInfos(won=True, admissible_commands=True)
        self.env = AlfredDemangler(PddlEnv(infos))

    def start(self, game: Mapping[str, Any] | Path) -> Situation:
        """Load a game file or its content."""
        arguments = sys.argv
        try:
            self.env.load(str(game) if isinstance(game, Path) else game)
            state = self.env.reset()
        finally:
            sys.argv = arguments  # fast_downward.pddl2sas overwrites it
        return Situation(state.feedback, state["admissible_commands"], bool(state["won"]))

    def step(self, command: str) -> Situation:
        """Execute a command."""
        state, _, _ = self.env.step(command)
        return Situation(state.feedback, state["admissible_commands"], bool(state["won"]))


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
    """Make the real engine remember parsed templates, parsed queries and the last translation."""
    import fast_downward
    from textworld.envs.pddl import textgen
    from textworld.logic import Rule

    parse_template, translate = textgen._parse_and_convert, fast_downward.pddl2sas
    remembered_template = functools.cache(lambda text: parse_template(text, rule_name="symbols"))
    remembered_translation = functools.lru_cache(1)(translate)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            textgen,
            "_parse_and_convert",
            lambda text, rule_name, **_: _copy_symbols(remembered_template(text)),
        )
        patch.setattr(textgen, "deepcopy", _copy_symbols)
        patch.setattr(
            Rule, "parse_conjunctive_query", functools.cache(Rule.parse_conjunctive_query)
        )
        # The second translation is optimised for the planner, which is not used here.
        patch.setattr(
            fast_downward,
            "pddl2sas",
            lambda domain, problem, **_: remembered_translation(domain, problem),
        )
        yield
