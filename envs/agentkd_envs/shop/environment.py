"""The shop environment: WebShop's text protocol over a generated shop or over a user's files.

The generated shop and its goals are like WebShop's but not the same, and results on them are not
WebShop results. With `data=FOLDER` the environment sells the products and sets the goals of the
user's own copy of WebShop's files.

Steps cost microseconds, so the async methods never wait.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agentkd_envs.base import EnvSpec, Observation, StepResult, Task
from agentkd_envs.errors import EnvError, TaskDataError, UnknownNameError
from agentkd_envs.shop.catalogue import Catalogue
from agentkd_envs.shop.data_folder import open_data
from agentkd_envs.shop.engine import ENGINE_VERSION, Engine
from agentkd_envs.shop.expert import ShopExpert
from agentkd_envs.shop.formats import FORMAT_VERSION, RENDERERS
from agentkd_envs.shop.generator import CATALOGUE_NAME, generated_catalogue
from agentkd_envs.shop.goals import SPLITS, goal_list
from agentkd_envs.shop.nouns import HEURISTIC, nouns_by
from agentkd_envs.shop.payload import goal_from, payload_for
from agentkd_envs.shop.product import CATEGORIES
from agentkd_envs.shop.published_goals import PublishedGoals, published_splits

_DESCRIPTION = """\
You are in an online shop. Find and buy a product that meets the instruction: the attributes, the \
options and the price. Products that look alike may differ in what only their pages tell. Choose \
the options that the instruction names before you buy. The purchase ends the episode, and is worth \
the share of the wishes that it meets.
Actions:
  search[WORDS]   {search}
  click[LABEL]    press a button, open a product by its number, or choose a value of an option
{more}Labels are written as the page shows them, as in: click[Buy Now]. {wrong}"""
_TEXT_WORDS = {
    "search": "look for products",
    "more": "",
    "wrong": "An action that is not possible changes nothing.",
}
_REACT_WORDS = {
    "search": "look for products, on the first page only",
    "more": "  think[WORDS]    write down a thought; nothing else happens\n",
    "wrong": "Next > does not work. An action that is not possible is answered by Invalid action!",
}


class ShopEnv:
    """One episode at a time in the shop."""

    def __init__(
        self,
        *,
        format: str = "text",
        kinds: Sequence[str] | None = None,
        data: str | Path | None = None,
        goals: str = "human",
        splits: str | Mapping[str, Any] = "paper",
        nouns: str = HEURISTIC,
        attributes_page: bool = False,
    ) -> None:
        """Choose what tasks there are and how the shop speaks.

        `format` is `text`, `text_rich` or `react`; `kinds` are categories, `beauty fashion garden
        grocery electronics`. `data` is a folder with WebShop's files; for it `goals` is `human` or
        `synthetic`, and `splits` is `paper`, `react`, `verl`, `agentbench` or a mapping (see
        `published_splits`). `nouns` is `heuristic` or the name of a spaCy model; it decides how the
        reward compares titles. `attributes_page` adds WebShop's page of attributes.
        Raises `UnknownNameError` for any other value, `TaskDataError` for unusable files.
        """
        if format not in RENDERERS:
            raise UnknownNameError("shop format", format, RENDERERS)
        self.format, self.nouns, self.attributes_page = format, nouns, attributes_page
        self.kinds = _resolve_kinds(kinds)
        _, self._nouns_version = nouns_by(nouns)
        self._published: PublishedGoals | None = None
        self._places: dict[str, Sequence[int]] = {}
        self._catalogue: Catalogue | None = None
        if data is not None:
            files = open_data(Path(data))
            self._catalogue = files.catalogue
            self._published = PublishedGoals(files, goals)
            self._places = self._of_kinds(published_splits(splits, self._published))
        self.spec = self._make_spec(goals)
        self._engine: Engine | None = None

    def _make_spec(self, goals: str) -> EnvSpec:
        words = _REACT_WORDS if self.format == "react" else _TEXT_WORDS
        versions = {
            "engine": ENGINE_VERSION,
            "data": CATALOGUE_NAME,
            "format": f"{self.format}-{FORMAT_VERSION}",
            "nouns": self._nouns_version,
        }
        described: Mapping[str, str] = SPLITS
        licence = "Apache-2.0"
        if self._catalogue is not None:
            versions |= {"data": self._catalogue.name, "goals": goals}
            described = {
                name: f"{len(places)} of WebShop's {goals} goals"
                for name, places in self._places.items()
            }
            licence = "engine Apache-2.0; product texts are the user's copy of WebShop's data"
        return EnvSpec(
            name="shop",
            description=_DESCRIPTION.format(**words),
            splits=described,
            max_steps=15,
            success_rule="reward == 1",
            versions=versions,
            licence=licence,
        )

    def _of_kinds(self, places: Mapping[str, Sequence[int]]) -> dict[str, Sequence[int]]:
        goals = self._published
        assert goals is not None
        if self.kinds == CATEGORIES:
            return dict(places)
        return {
            split: [number for number in numbers if goals.product(number).category in self.kinds]
            for split, numbers in places.items()
        }

    def tasks(self, split: str, count: int | None = None, first: int = 0) -> Sequence[Task]:
        """Tasks `first` to `first + count` of a split, fewer if the split ends before.

        In the generated shop the kinds take turns; in files the order is the published one.
        """
        if split not in self.spec.splits:
            raise UnknownNameError("split of shop", split, self.spec.splits)
        if first < 0 or (count is not None and count < 0):
            raise EnvError(f"shop tasks: first={first} and count={count} must not be negative")
        size = len(self._places[split] if self._published else goal_list(split, self.kinds))
        last = size if count is None else min(size, first + count)
        return [self._task(split, index) for index in range(first, last)]

    def _task(self, split: str, index: int) -> Task:
        if self._published is not None:
            goal = self._published[self._places[split][index]]
        else:
            goal = goal_list(split, self.kinds)[index]
        catalogue = self._shop()
        payload = payload_for(goal, catalogue.name, self.format, self.nouns, self.attributes_page)
        return Task("shop", split, index, catalogue.by_asin[goal.asin].category, payload)

    async def reset(self, task: Task) -> Observation:
        """Begin the task; raises `TaskDataError` if its payload cannot be used."""
        if task.env != "shop":
            raise TaskDataError(f"task {task.id} is of '{task.env}', not of shop")
        goal = goal_from(task.payload, self._shop())
        payload = task.payload
        self._engine = engine = Engine(
            self._shop(), goal, payload["format"], payload["nouns"], payload["attributes_page"]
        )
        return Observation(engine.observation(), engine.admissible)

    async def step(self, action: str) -> StepResult:
        """Execute one action; one that is not possible leaves the page as it is."""
        engine = self._live()
        response = engine.step(action)
        return StepResult(
            text=response.text,
            reward=response.reward,
            terminated=response.is_done,
            success=response.is_done and response.reward == 1,
            valid=response.valid,
            admissible=engine.admissible,
            info=response.info or {},
        )

    async def fork(self) -> "ShopEnv":
        """Return a copy in the same state; from here on both go their own ways."""
        copy = ShopEnv.__new__(ShopEnv)
        copy.__dict__.update(self.__dict__)
        copy._engine = self._engine.fork() if self._engine is not None else None
        return copy

    async def close(self) -> None:
        """Release the episode; calling it twice is fine."""
        self._engine = None

    def expert(self) -> ShopExpert:
        """Return a fresh expert for the current episode; it sees only the agent's text."""
        return ShopExpert(self._live().format)

    def _shop(self) -> Catalogue:
        if self._catalogue is None:
            self._catalogue = generated_catalogue()
        return self._catalogue

    def _live(self) -> Engine:
        if self._engine is None:
            raise EnvError("shop has no episode: call reset(task) first")
        return self._engine


def _resolve_kinds(kinds: Sequence[str] | None) -> tuple[str, ...]:
    """Return the categories asked for, in their usual order; None means all five."""
    if kinds is None:
        return CATEGORIES
    names = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    for name in names or ("",):
        if name not in CATEGORIES:
            raise UnknownNameError("task kind", name, CATEGORIES)
    return tuple(category for category in CATEGORIES if category in names)
