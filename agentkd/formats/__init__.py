"""File formats of trajectories: `format_named(name)` gives one, `FORMATS` lists them.

Nothing here looks at a run folder; `agentkd.formats.run_export` and `run_import` do.
"""

from agentkd_envs import UnknownNameError

from agentkd.formats.atif import ATIF
from agentkd.formats.base import Damage, Format, OnDamage, refuse_damage
from agentkd.formats.chat import MESSAGES, OPENAI
from agentkd.formats.session import SESSIONS
from agentkd.formats.sharegpt import AGENTINSTRUCT, AGENTTRAJ, ETO, SHAREGPT

__all__ = ["FORMATS", "Damage", "Format", "OnDamage", "format_named", "refuse_damage"]

FORMATS: dict[str, Format] = {
    format.name: format
    for format in (ATIF, MESSAGES, OPENAI, SHAREGPT, SESSIONS, AGENTTRAJ, AGENTINSTRUCT, ETO)
}


def format_named(name: str, *, to_write: bool = False) -> Format:
    """Return the format of that name; raises `UnknownNameError`.

    With `to_write`, formats that can only be read do not count.
    """
    known = {key: value for key, value in FORMATS.items() if value.write or not to_write}
    if name not in known:
        raise UnknownNameError("export format" if to_write else "import format", name, known)
    return known[name]
