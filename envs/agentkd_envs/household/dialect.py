"""The two generations of ALFWorld's action grammar.

The game file decides, not the installed package: games of `json_2.1.1` (ReAct, ETO, AgentGym,
AgentBench) say `put mug 1 in/on shelf 2` and `You arrive at loc 12.`; games from 2.1.2 on say
`move mug 1 to shelf 2`, `You arrive at shelf 2.`, and know `help`. Between the two lies a patch of
three strings and the `help` action that ALFWorld's authors published; `PUT` undoes it.
"""

from dataclasses import dataclass

from agentkd_envs.errors import UnknownNameError

_HELP = """Available commands:
  look:                             look around your current location
  inventory:                        check your current inventory
  go to (receptacle):               move to a receptacle
  open (receptacle):                open a receptacle
  close (receptacle):               close a receptacle
  take (object) from (receptacle):  take an object from a receptacle
  move (object) to (receptacle):  place an object in or on a receptacle
  examine (something):              examine a receptacle or an object
  use (object):                     use an object
  heat (object) with (receptacle):  heat an object using a receptacle
  clean (object) with (receptacle): clean an object using a receptacle
  cool (object) with (receptacle):  cool an object using a receptacle
  slice (object) with (object):     slice an object using a sharp object
"""


@dataclass(frozen=True)
class Dialect:
    """How one generation of games speaks."""

    name: str
    put_command: str
    """With the fields `{thing}` and `{receptacle}`."""
    put_feedback: str
    """With the fields `{thing}` and `{receptacle}`."""
    arrives_at_place: bool
    """True if arriving names the location (`loc 12`) instead of the receptacle."""
    help: str | None
    """Answer to `help`; None if the games do not know it."""


MOVE = Dialect(
    name="move",
    put_command="move {thing} to {receptacle}",
    put_feedback="You move the {thing} to the {receptacle}.",
    arrives_at_place=False,
    help=_HELP,
)
PUT = Dialect(
    name="put",
    put_command="put {thing} in/on {receptacle}",
    put_feedback="You put the {thing} in/on the {receptacle}.",
    arrives_at_place=True,
    help=None,
)
DIALECTS = {dialect.name: dialect for dialect in (MOVE, PUT)}


def dialect_named(name: str) -> Dialect:
    """Return the dialect `move` or `put`; raises `UnknownNameError` for any other name."""
    if name not in DIALECTS:
        raise UnknownNameError("dialect", name, DIALECTS)
    return DIALECTS[name]
