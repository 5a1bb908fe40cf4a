"""The household environment: text games in ALFWorld's format, generated or from a user's files.

Generated games are played by the native engine on rooms of AI2-THOR; they are like ALFWorld's but
not the same games, and results on them are not ALFWorld results. With `data=FOLDER` the environment
plays the user's own `game.tw-pddl` files instead, in the layout that `alfworld-download` leaves.

Steps of the native engine cost microseconds, so the async methods never wait. With
`engine="textworld"` the same games are played by the engine that ALFWorld itself uses, in a worker
process, with the same text.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
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
from agentkd_envs.household.pddl import game_file, parse_game
from agentkd_envs.household.play import (
    ENGINES,
    NativePlay,
    Play,
    require_textworld,
    start_textworld,
    textworld_version,
)
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
        train_preset: str | None = None,
        kinds: Sequence[str] | None = None,
        dialect: str = "move",
        data: str | Path | None = None,
        search: str | None = None,
        engine: str = "native",
    ) -> None:
        """Choose what tasks there are.

        `preset` is `full`, `small` or `varied` (see `generator`), and `train_preset`, where it is
        given, the one of the split `train`: whoever trains on varied rooms and plays whole ones
        has to read the listing of a room. `kinds` are of `pick light clean heat cool two` or the
        full names; `dialect` is `move` or `put`; `data` is a folder with ALFWorld's games, such as
        `$ALFWORLD_DATA`, for which preset and dialect do not count. `search` is the expert's search
        order, `plausible_first` or `as_listed`; the default is `as_listed` in small rooms, which
        are searched quickly anyway. `engine` is `native`, or `textworld` for the real one, which is
        thousands of times slower.
        Raises `UnknownNameError` for any other value.
        """
        for name in (preset, train_preset or preset):
            if name not in PRESETS:
                raise UnknownNameError("household preset", name, PRESETS)
        if search is not None and search not in SEARCH_ORDERS:
            raise UnknownNameError("household search order", search, SEARCH_ORDERS)
        self.preset = preset
        self.train_preset = train_preset or preset
        self.search = search or ("as_listed" if preset == "small" else "plausible_first")
        self.kinds = resolve_kinds(kinds)
        if engine not in ENGINES:
            raise UnknownNameError("household engine", engine, ENGINES)
        if engine == "textworld":
            require_textworld()
        self.engine = engine
        self.data = DataFolder(data, self.kinds) if data is not None else None
        self.dialect = self.data.dialect() if self.data else dialect_named(dialect)
        self.spec = self._make_spec()
        self._play: Play | None = None

    def _make_spec(self) -> EnvSpec:
        put = self.dialect.put_command.format(thing="OBJECT", receptacle="RECEPTACLE")
        example = self.dialect.put_command.format(thing="mug 2", receptacle="shelf 1")
        if self.data is not None:
            splits = self.data.splits()
            data = self.data.version()
        else:
            splits = SPLITS
            data = f"generated-{self.preset}-{GENERATOR_VERSION}"
        return EnvSpec(
            name="household",
            description=_DESCRIPTION.format(put=put, example=example),
            splits=splits,
            max_steps=50,
            success_rule="the goal of the game holds",
            versions={
                "engine": ENGINE_VERSION if self.engine == "native" else textworld_version(),
                "data": data,
                "dialect": self.dialect.name,
            },
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
        preset = self.train_preset if split == "train" else self.preset
        return [
            generated_task(
                split, index, plan_task(split, index, self.kinds, preset, self.dialect.name)
            )
            for index in range(first, first + count)
        ]

    async def reset(self, task: Task) -> Observation:
        """Begin the task; raises `TaskDataError` if its payload cannot be used."""
        await self.close()
        if task.env != "household":
            raise TaskDataError(f"task {task.id} is of '{task.env}', not of household")
        if "file" in task.payload:
            path, text = self._read(task.payload)
            game = parse_game(text, str(path))
            self._check_dialect(game, f"game file {path}")
        else:
            text = ""
            game = build_game(plan_from(task.payload))
            self._check_dialect(game, f"task {task.id}")
        if self.engine == "native":
            engine = Engine(game)
            self._play = NativePlay(engine)
            return Observation(engine.introduction(), engine.admissible)
        content = json.loads(text) if text else game_file(game, "game")
        self._play = play = await start_textworld(content)
        return Observation(play.text, play.admissible)

    def _read(self, payload: Mapping[str, Any]) -> tuple[Path, str]:
        name, digest = payload["file"], payload.get("sha256")
        path = Path(name) if self.data is None else self.data.root / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise TaskDataError(f"cannot read game file {path}: {error}") from error
        if digest is not None and hashlib.sha256(content).hexdigest() != digest:
            raise TaskDataError(f"game file {path} is not the one of the task: its SHA-256 differs")
        return path, content.decode(errors="replace")

    def _check_dialect(self, game: Game, what: str) -> None:
        """The description that the agent is given speaks one dialect, so must all games."""
        if game.dialect.name != self.dialect.name:
            remedy = (
                "keep the games of each dialect in a folder of their own"
                if self.data
                else f"make the environment with dialect='{game.dialect.name}'"
            )
            raise TaskDataError(
                f"{what} speaks the dialect '{game.dialect.name}', and the environment "
                f"'{self.dialect.name}': {remedy}"
            )

    async def step(self, action: str) -> StepResult:
        """Execute one command; one that is not possible is answered by "Nothing happens."."""
        play = self._live()
        response = await play.step(action)
        return StepResult(
            text=response.text,
            reward=1.0 if response.won else 0.0,
            terminated=response.won,
            success=response.won,
            valid=response.valid,
            admissible=play.admissible,
        )

    async def fork(self) -> "HouseholdEnv":
        """Return a copy in the same state; from here on both go their own ways."""
        copy = HouseholdEnv.__new__(HouseholdEnv)
        copy.__dict__.update(self.__dict__)
        copy._play = await self._play.fork() if self._play is not None else None
        return copy

    async def close(self) -> None:
        """Release the game; calling it twice is fine."""
        if self._play is not None:
            self._play.close()
            self._play = None

    def expert(self, search_order: SearchOrder | None = None) -> HouseholdExpert:
        """Return a fresh expert for the current episode; it sees only the agent's text."""
        self._live()
        return HouseholdExpert(self.dialect, search_order or SEARCH_ORDERS[self.search])

    def _live(self) -> Play:
        if self._play is None:
            raise EnvError("household has no episode: call reset(task) first")
        return self._play
