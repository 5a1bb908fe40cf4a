"""Commands as named verbs with arguments: what tool-calling frameworks show to a model.

A verb has one or more spellings of its command; the first one that is admissible is executed, so
that a verb need not know the dialect of the world. An environment without verbs of its own has one,
`act`, that takes any command.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import Parameter, Signature
from typing import Any


@dataclass(frozen=True)
class Verb:
    """One thing that an agent can do."""

    name: str
    summary: str
    """One sentence that says what the verb does."""
    spellings: tuple[str, ...]
    """The command, with a field in braces for each argument."""
    arguments: Mapping[str, str] = field(default_factory=dict)
    """Argument name to what it stands for."""

    def command(self, given: Mapping[str, str], admissible: Callable[[], Collection[str]]) -> str:
        """Write the command for the given arguments."""
        commands = [spelling.format_map(given) for spelling in self.spellings]
        if len(commands) == 1:
            return commands[0]
        possible = admissible()
        return next((command for command in commands if command in possible), commands[0])

    def method(self, act: Callable[[Any, "Verb", Mapping[str, str]], str]) -> Callable[..., str]:
        """Make a typed method with a Google docstring, which calls `act(self, verb, arguments)`."""
        parameters = [
            Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, annotation=str)
            for name in self.arguments
        ]
        this = Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)
        signature = Signature([this, *parameters], return_annotation=str)

        def method(*values: Any, **named: Any) -> str:
            bound = signature.bind(*values, **named).arguments
            return act(bound.pop("self"), self, {key: str(value) for key, value in bound.items()})

        method.__name__ = method.__qualname__ = self.name
        method.__signature__ = signature  # type: ignore[attr-defined]
        method.__annotations__ = {**dict.fromkeys(self.arguments, str), "return": str}
        method.__doc__ = self._docstring()
        return method

    def _docstring(self) -> str:
        lines = [self.summary]
        if self.arguments:
            lines += [
                "",
                "Args:",
                *(f"    {name}: {text}" for name, text in self.arguments.items()),
            ]
        return "\n".join([*lines, "", "Returns:", "    What you see then."])


_THING = {"object": "Object with its number, as in 'mug 1'."}
_PLACE = {"receptacle": "Receptacle with its number, as in 'desk 1'."}

_HOUSEHOLD = (
    Verb("go_to", "Go to a receptacle.", ("go to {receptacle}",), _PLACE),
    Verb(
        "take",
        "Take an object from a receptacle.",
        ("take {object} from {receptacle}",),
        {**_THING, **_PLACE},
    ),
    Verb(
        "put",
        "Put the object that you carry in or on a receptacle.",
        ("move {object} to {receptacle}", "put {object} in/on {receptacle}"),
        {**_THING, **_PLACE},
    ),
    Verb("open", "Open a receptacle.", ("open {receptacle}",), _PLACE),
    Verb("close", "Close a receptacle.", ("close {receptacle}",), _PLACE),
    *(
        Verb(
            verb,
            f"{verb.capitalize()} the object that you carry with a device that you stand at.",
            (f"{verb} {{object}} with {{receptacle}}",),
            {**_THING, **_PLACE},
        )
        for verb in ("heat", "clean", "cool")
    ),
    Verb(
        "examine",
        "Look closely at a receptacle, or at the object that you carry.",
        ("examine {thing}",),
        {"thing": "Receptacle or object with its number."},
    ),
    Verb("use", "Switch a lamp on.", ("use {object}",), _THING),
    Verb("look", "Look around where you are.", ("look",)),
    Verb("inventory", "Say what you carry.", ("inventory",)),
)
_SHOP = (
    Verb(
        "search",
        "Search the shop.",
        ("search[{keywords}]",),
        {"keywords": "What to search for."},
    ),
    Verb(
        "click",
        "Click a button, a link, a product or an option of the page.",
        ("click[{target}]",),
        {"target": "The text of what to click, as the page shows it."},
    ),
)
_ANY = (
    Verb("act", "Execute a command.", ("{command}",), {"command": "The command, as described."}),
)

_BY_ENV: Mapping[str, Sequence[Verb]] = {"household": _HOUSEHOLD, "shop": _SHOP}


def verbs_of(env: str) -> Sequence[Verb]:
    """Return the verbs of an environment by its name."""
    return _BY_ENV.get(env, _ANY)
