"""A goal as a task's payload and back: all that an episode depends on, in JSON.

The catalogue is named, not included: `generated-1`, or the hash of a user's files.
"""

from collections.abc import Mapping
from typing import Any

from agentkd_envs.errors import TaskDataError
from agentkd_envs.shop.catalogue import Catalogue
from agentkd_envs.shop.formats import RENDERERS
from agentkd_envs.shop.product import Goal

_FIELDS: dict[str, tuple[type, ...]] = {
    "catalogue": (str,),
    "asin": (str,),
    "instruction": (str,),
    "attributes": (list, tuple),
    "options": (dict, list, tuple),
    "price_upper": (float, int),
    "format": (str,),
    "nouns": (str,),
    "attributes_page": (bool,),
}


def payload_for(
    goal: Goal, catalogue: str, format_name: str, nouns: str, attributes_page: bool
) -> dict[str, Any]:
    """Return the payload of a goal."""
    options = goal.options
    return {
        "catalogue": catalogue,
        "asin": goal.asin,
        "instruction": goal.instruction,
        "attributes": list(goal.attributes),
        "options": list(options) if isinstance(options, tuple) else dict(options),
        "price_upper": goal.price_upper,
        "format": format_name,
        "nouns": nouns,
        "attributes_page": attributes_page,
    }


def goal_from(payload: Mapping[str, Any], catalogue: Catalogue) -> Goal:
    """Read a goal; raises `TaskDataError` naming the field that is wrong."""
    if set(payload) != set(_FIELDS):
        raise TaskDataError(
            f"shop task payload has the fields {sorted(payload)}, not {sorted(_FIELDS)}"
        )
    for name, kinds in _FIELDS.items():
        value = payload[name]
        if not isinstance(value, kinds) or isinstance(value, bool) != (kinds == (bool,)):
            raise TaskDataError(f"shop task payload: {name}={value!r} is not {kinds[0].__name__}")
    if payload["catalogue"] != catalogue.name:
        raise TaskDataError(
            f"shop task payload: made for the products '{payload['catalogue']}', these are "
            f"'{catalogue.name}'; give the files that it was made for as data=FOLDER, or none for "
            "a generated shop"
        )
    if payload["asin"] not in catalogue.by_asin:
        raise TaskDataError(f"shop task payload: there is no product {payload['asin']}")
    if payload["format"] not in RENDERERS:
        raise TaskDataError(f"shop task payload: there is no format '{payload['format']}'")
    attributes, options = payload["attributes"], payload["options"]
    values = options.values() if isinstance(options, dict) else options
    if not attributes or not all(isinstance(text, str) for text in [*attributes, *values]):
        raise TaskDataError(
            "shop task payload: attributes must be at least one text, options must be texts"
        )
    return Goal(
        asin=payload["asin"],
        instruction=payload["instruction"],
        attributes=tuple(attributes),
        options=dict(options) if isinstance(options, dict) else tuple(options),
        price_upper=float(payload["price_upper"]),
    )
