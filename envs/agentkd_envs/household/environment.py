"""The household environment: text games in ALFWorld's format, generated or from a user's files.

Generated games are played by the native engine on rooms of AI2-THOR; they are like ALFWorld's but
not the same games, and results on them are not ALFWorld results. With `data=FOLDER` the environment
plays the user's own `game.tw-pddl` files instead, in the layout that `alfworld-download` leaves.

Steps cost microseconds, so the async methods never wait.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agentkd_envs.base import EnvSpec, Observation, StepResult, Task
from agentkd_envs.errors import EnvError, TaskDataError, UnknownNameError
from agentkd_envs.household.data_folder import DataFolder
from agentkd_envs.household.dialect import dialect_named
from agentkd_envs.household.engine import Engine
from agentkd_envs.household.expert import HouseholdExpert
from agentkd_envs.household.game import Game
from agentkd_envs.household.generator import GENERATOR_VERSION, PRESETS, build_game
from agentkd_envs.household.pddl import parse_game
from agentkd_envs.household.search_order import SEARCH_ORDERS, SearchOrder
from agentkd_envs.household.tasks import (
    SPLITS,
    generated_task,
    plan_from,
    plan_task,
    resolve_kinds,
)

ENGINE_VERSION = "1"

_DESCRIPTION = """\
You are in a room of a household and act in it by short text commands. Find the objects that the \
task names, do with them what it asks, and put them where it says. You can carry one object at a \
time. Things may be inside closed receptacles: open those first.
Commands:
  go to RECEPTACLE
  open RECEPTACLE
  close RECEPTACLE
  take OBJECT from RECEPTACLE
  {put}
  clean OBJECT with RECEPTACLE
  heat OBJECT with RECEPTACLE
  cool OBJECT with RECEPTACLE
  use OBJECT
  examine RECEPTACLE (or the OBJECT that you carry)
  inventory
  look
Name receptacles and objects with their numbers, as in: {example}.
A command that is not possible now is answered by "Nothing happens."."""


class HouseholdEnv:
    """One episode at a time of the household games."""

    def __init__(
        self,
        *,
        preset: str = "full",
        kinds: Sequence[str] | None = None,
        dialect: str = "move",
        data: str | Path | None = None,
        search: str | None = None,
    ) -> None:
        """Choose what tasks there are.

        `preset` is `full` or `small`; `kinds` are of `pick light clean heat cool two` or the full
        names; `dialect` is `move` or `put`; `data` is a folder with ALFWorld's games, for which
        preset and dialect do not count. `search` is the expert's search order, `plausible_first` or
        `as_listed`; the default is `as_listed` in small rooms, which are searched quickly anyway.
        Raises `UnknownNameError` for any other value.
        """
        if preset not in PRESETS:
            raise UnknownNameError("household preset", preset, PRESETS)
        if search is not None and search not in SEARCH_ORDERS:
            raise UnknownNameError("household search order", search, SEARCH_ORDERS)
        self.preset = preset
        self.search = search or ("as_listed" if preset == "small" else "plausible_first")
        self.kinds = resolve_kinds(kinds)
        self.dialect = dialect_named(dialect)
        self.data = DataFolder(Path(data), self.kinds) if data is not None else None
        self.spec = self._make_spec()
        self._engine: Engine | None = None

    def _make_spec(self) -> EnvSpec:
        put = self.dialect.put_command.format(thing="OBJECT", receptacle="RECEPTACLE")
        example = self.dialect.put_command.format(thing="mug 2", receptacle="shelf 1")
        if self.data is not None:
            splits = self.data.splits()
            versions = {"engine": ENGINE_VERSION, "data": "files"}
        else:
            splits = SPLITS
            versions = {
                "engine": ENGINE_VERSION,
                "data": f"generated-{self.preset}-{GENERATOR_VERSION}",
                "dialect": self.dialect.name,
            }
        return EnvSpec(
            name="household",
            description=_DESCRIPTION.format(put=put, example=example),
            splits=splits,
            max_steps=50,
            success_rule="the goal of the game holds",
            versions=versions,
            licence="engine Apache-2.0; room facts and grammar MIT (ALFWorld)",
        )

    def tasks(self, split: str, count: int | None = None, first: int = 0) -> Sequence[Task]:
        """Tasks `first` to `first + count` of a split; the kinds take turns.

        Generated splits have no end: there `count=None` raises `EnvError`.
        """
        if split not in self.spec.splits:
            raise UnknownNameError("split of household", split, self.spec.splits)
        if first < 0 or (count is not None and count < 0):
            raise EnvError(f"household tasks: first={first} and count={count} must not be negative")
        if self.data is not None:
            return self.data.tasks(split, count, first)
        if count is None:
            raise EnvError(f"split '{split}' of household is generated without end: give a count")
        return [
            generated_task(
                split,
                index,
                plan_task(split, index, self.kinds, self.preset, self.dialect.name),
            )
            for index in range(first, first + count)
        ]

    async def reset(self, task: Task) -> Observation:
        """Begin the task; raises `TaskDataError` if its payload cannot be used."""
        self._engine = engine = Engine(self._game(task))
        return Observation(engine.introduction(), engine.admissible)

    def _game(self, task: Task) -> Game:
        payload: Any = task.payload
        if task.env != "household":
            raise TaskDataError(f"task {task.id} is of '{task.env}', not of household")
        if "file" not in payload:
            return build_game(plan_from(payload))
        name, digest = payload["file"], payload.get("sha256")
        path = Path(name) if self.data is None else self.data.root / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise TaskDataError(f"cannot read game file {path}: {error}") from error
        if digest is not None and hashlib.sha256(content).hexdigest() != digest:
            raise TaskDataError(f"game file {path} is not the one of the task: its SHA-256 differs")
        return parse_game(content.decode(errors="replace"), str(path))

    async def step(self, action: str) -> StepResult:
        """Execute one command; one that is not possible is answered by "Nothing happens."."""
        engine = self._live()
        response = engine.step(action)
        return StepResult(
            text=response.text,
            reward=1.0 if response.won else 0.0,
            terminated=response.won,
            success=response.won,
            valid=response.valid,
            admissible=engine.admissible,
        )

    async def fork(self) -> "HouseholdEnv":
        """Return a copy in the same state; from here on both go their own ways."""
        copy = HouseholdEnv.__new__(HouseholdEnv)
        copy.__dict__.update(self.__dict__)
        copy._engine = self._engine.fork() if self._engine is not None else None
        return copy

    async def close(self) -> None:
        """Release the game; calling it twice is fine."""
        self._engine = None

    def expert(self, search_order: SearchOrder | None = None) -> HouseholdExpert:
        """Return a fresh expert for the current episode; it sees only the agent's text."""
        order = search_order or SEARCH_ORDERS[self.search]
        return HouseholdExpert(self._live().world.dialect, order)

    def _live(self) -> Engine:
        if self._engine is None:
            raise EnvError("household has no episode: call reset(task) first")
        return self._engine
