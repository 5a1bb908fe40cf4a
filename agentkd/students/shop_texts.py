"""Texts of the generated shop, from which the tokenizer of `tiny_shop` is learnt.

The scripted expert serves some customers of the split `train`; beside that, only words are read
that stand in the shop's vocabulary, with no product behind them.
"""

from collections.abc import Iterator

from agentkd_envs.base import Task
from agentkd_envs.shop.catalogue import Catalogue
from agentkd_envs.shop.engine import Engine
from agentkd_envs.shop.environment import ShopEnv
from agentkd_envs.shop.expert import ShopExpert
from agentkd_envs.shop.generator import generated_catalogue
from agentkd_envs.shop.payload import goal_from
from agentkd_envs.shop.vocabulary import BRANDS, LINES, OPTIONS, facets, families

from agentkd.trajectory import Message

MAX_STEPS = 15


def served_customers(count: int, first: int = 0) -> Iterator[list[Message]]:
    """Conversations of the expert with `count` training tasks."""
    catalogue = generated_catalogue()
    for task in ShopEnv(format="react").tasks("train", count, first):
        yield _conversation(task, catalogue)


def _conversation(task: Task, catalogue: Catalogue) -> list[Message]:
    payload = task.payload
    engine = Engine(
        catalogue,
        goal_from(payload, catalogue),
        payload["format"],
        payload["nouns"],
        payload["attributes_page"],
    )
    expert = ShopExpert(engine.format)
    messages = [Message("user", engine.observation())]
    move = expert.first(messages[0].content)
    for _ in range(MAX_STEPS):
        messages.append(Message("assistant", f"Thought: {move.thought}\nAction: {move.action}"))
        response = engine.step(move.action)
        messages.append(Message("user", response.text))
        if response.is_done:
            break
        move = expert.next(response.text)
    return messages


def words_of_the_shop() -> list[str]:
    """Each word that names a kind of thing, a property, an option or a brand, once."""
    phrases = [family.name for family in families()]
    phrases += [value for facet in facets().values() for value in facet.values]
    phrases += [text for name, values in OPTIONS.values() for text in (name, *values)]
    words = {word for phrase in phrases for word in phrase.split() if word.isalpha()}
    return sorted({*words, *(word.title() for word in words), *BRANDS, *LINES})
