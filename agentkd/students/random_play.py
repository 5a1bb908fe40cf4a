"""Transcripts of random play, from which the base of the `tiny` student learns to read.

A random agent acts in the training rooms; its actions know nothing of the task. Two things make the
transcripts worth reading for a model that starts from nothing:

- In part of the episodes the class names are exchanged for others, the same way throughout an
  episode (every mug is called a sofa), so that nothing can be guessed from experience and the names
  must be looked up in the text.
- Before some actions the agent asks itself something that the text so far answers: whether a kind
  of thing is here, where one was seen, what stands behind a name in the listing. The kinds are
  drawn at random, and the answers decide nothing. Some of its walks lead to the next place in the
  listing, and it says so.

Nothing here has seen an expert: no action, no thought and no plan of one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from random import Random

from agentkd_envs.household.engine import Engine
from agentkd_envs.household.game import KINDS
from agentkd_envs.household.generator import build_game
from agentkd_envs.household.rooms import facts
from agentkd_envs.household.tasks import plan_task

from agentkd.trajectory import Message

EXCHANGED_NAMES = 0.5
"""Share of the episodes with exchanged class names."""
QUESTIONS = 0.6
"""Share of the actions before which the agent asks itself something."""
ONWARD = 0.35
"""Share of the walks that lead to the next place in the listing."""
IMPOSSIBLE_ACTIONS = 0.06
"""Share of the actions that name things at random, so that most do nothing."""

_ENTITY = re.compile(r"\b([a-z]+) (\d+)\b")
_MANIPULATIONS = ("take", "move", "open", "close", "use", "heat", "cool", "clean", "slice")


@cache
def class_names() -> tuple[str, ...]:
    """Every word that an entity name of these worlds begins with, sorted."""
    shipped = facts()
    names = {name.lower() for name in (*shipped.receptacle_names, *shipped.thing_names)}
    shown = {
        match.group(1)
        for index in range(600)
        for match in _ENTITY.finditer(
            Engine(build_game(plan_task("train", index, KINDS, "full", "move"))).introduction()
        )
    }
    return tuple(sorted(names | shown))


@dataclass
class _Memory:
    """What the transcript has said so far."""

    listing: list[str] = field(default_factory=list)
    here: list[str] = field(default_factory=list)
    """Things in the last observation."""
    place: str = ""
    seen: dict[str, str] = field(default_factory=dict)
    """Thing to the receptacle where it was last seen or put."""

    @property
    def next_place(self) -> str:
        """The place behind the present one in the listing, empty if there is none."""
        if self.place not in self.listing:
            return ""
        following = self.listing.index(self.place) + 1
        return self.listing[following] if following < len(self.listing) else ""

    def read(self, action: str, observation: str) -> None:
        """Take in what an action led to."""
        names = [f"{kind} {number}" for kind, number in _ENTITY.findall(observation)]
        taken = re.match(r"You pick up the (\S+ \d+)", observation)
        moved = re.match(r"You move the (\S+ \d+) to the (\S+ \d+)", observation)
        if taken:
            self.seen.pop(taken.group(1), None)
            self.here = [name for name in self.here if name != taken.group(1)]
        elif moved:
            self.seen[moved.group(1)] = moved.group(2)
        elif "you see" in observation and action.startswith(("go to", "open", "examine")):
            place = names[0]
            self.here = [name for name in names if name != place]
            self.place = place
            self.seen.update(dict.fromkeys(self.here, place))
        elif observation.startswith("You arrive"):
            self.here, self.place = [], names[0]


@dataclass(frozen=True)
class Transcript:
    """One episode of random play."""

    messages: list[Message]
    has_exchanged_names: bool


def random_play(seed: int) -> Transcript:
    """One transcript; the same seed gives the same transcript."""
    random = Random(seed)
    preset, steps = ("full", 24) if random.random() < 0.2 else ("small", 40)
    engine = Engine(build_game(plan_task("train", seed, KINDS, preset, "move")))
    introduction = engine.introduction()
    memory = _Memory(listing=[" ".join(pair) for pair in _ENTITY.findall(introduction)])
    messages = [Message("user", introduction)]
    for _ in range(random.randint(steps // 4, steps)):
        action = _random_action(engine.admissible(), memory, random)
        said = _thought(action, memory, random) if random.random() < QUESTIONS else ""
        thought = f"Thought: {said}\n" if said else ""
        response = engine.step(action)
        memory.read(action, response.text)
        messages += [
            Message("assistant", f"{thought}Action: {action}"),
            Message("user", response.text),
        ]
        if response.won:
            break
    if random.random() < EXCHANGED_NAMES:
        return Transcript(_with_exchanged_names(messages, random), True)
    return Transcript(messages, False)


def transcripts(first: int, count: int) -> Iterator[Transcript]:
    """Stream `count` transcripts from seed `first` on."""
    for seed in range(first, first + count):
        yield random_play(seed)


def _random_action(admissible: list[str], memory: _Memory, random: Random) -> str:
    manipulations = [action for action in admissible if action.startswith(_MANIPULATIONS)]
    chance = random.random()
    if chance < IMPOSSIBLE_ACTIONS:
        things = list(memory.seen) or memory.listing
        verb = random.choice(("take {0} from {1}", "go to {1}", "open {1}", "move {0} to {1}"))
        return verb.format(random.choice(things), random.choice(memory.listing))
    if manipulations and chance < 0.5:
        return random.choice(manipulations)
    onward = f"go to {memory.next_place}"
    if memory.next_place and random.random() < ONWARD and onward in admissible:
        return onward
    moves = [action for action in admissible if action.startswith("go to")]
    others = [action for action in admissible if action != "help"]
    return random.choice(moves if moves and chance < 0.95 else others)


def _thought(action: str, memory: _Memory, random: Random) -> str:
    if action != f"go to {memory.next_place}":
        return _question(memory, random)
    present = {_kind(name) for name in memory.here}
    absent = [_kind(name) for name in memory.seen if _kind(name) not in present]
    absent += [name for name in random.sample(class_names(), 2) if name not in present]
    asked = f"Any {random.choice(absent)}? No. " if absent and random.random() < 0.7 else ""
    return f"{asked}Next: {memory.next_place}."


def _question(memory: _Memory, random: Random) -> str:
    kind = random.choice(("here", "here", "where", "behind"))
    if kind == "behind":
        index = random.randrange(len(memory.listing))
        following = memory.listing[index + 1 : index + 2]
        return f"Behind {memory.listing[index]}? {following[0] if following else 'Nothing'}."
    known = sorted({_kind(name) for name in memory.seen})
    present = sorted({_kind(name) for name in memory.here})
    if kind == "where":
        wanted = _wanted(known, known, random)
        found = [(name, place) for name, place in memory.seen.items() if _kind(name) == wanted]
        answer = f"{found[-1][0]} at {found[-1][1]}" if found else "Not seen"
        return f"Where is {wanted}? {answer}."
    wanted = _wanted(present, known, random)
    found_here = [name for name in memory.here if _kind(name) == wanted]
    return f"Any {wanted}? {found_here[0] if found_here else 'No'}."


def _wanted(likely: list[str], others: list[str], random: Random) -> str:
    """Half of the questions have an answer, and those that have none are about familiar things."""
    if likely and random.random() < 0.5:
        return random.choice(likely)
    if others and random.random() < 0.5:
        return random.choice(others)
    return random.choice(class_names())


def _kind(name: str) -> str:
    return name.partition(" ")[0]


@cache
def _any_class_name() -> re.Pattern[str]:
    longest_first = sorted(class_names(), key=lambda name: (-len(name), name))
    return re.compile(rf"\b({'|'.join(longest_first)})\b")


def _with_exchanged_names(messages: list[Message], random: Random) -> list[Message]:
    names = list(class_names())
    exchanged = dict(zip(names, random.sample(names, len(names)), strict=True))
    return [
        Message(
            message.role,
            _any_class_name().sub(lambda match: exchanged[match.group(1)], message.content),
        )
        for message in messages
    ]
