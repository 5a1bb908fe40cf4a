"""A user's folder of WebShop's own files: products, attributes, instructions.

`items_shuffle*.json` holds the products, `items_ins_v2*.json` their attributes and the synthetic
instructions, `items_human_ins.json` the crowd's. Products are read one by one, so that the file
may be larger than what is kept of it.

WebShop draws the price of a product with a price range anew in each process. Here it is drawn from
the product's number, so that rewards are the same everywhere.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from sys import intern
from typing import Any

from agentkd_envs.dice import Dice
from agentkd_envs.errors import TaskDataError
from agentkd_envs.shop.catalogue import Catalogue
from agentkd_envs.shop.json_records import JsonRecords
from agentkd_envs.shop.product import Product

UNKNOWN_PRICE = 100.0
"""Price of a product without one, as upstream has it."""

_ITEMS = "items_shuffle"
_ATTRIBUTES = "items_ins_v2"
_HUMAN = "items_human_ins.json"
_NEEDED = ("asin", "name", "category", "query", "product_category")
_LONGEST_ASIN = 10
_NUMBER = re.compile(r"\d+(?:\.\d+)?|\.\d+")


@dataclass(frozen=True)
class DataFolder:
    """What the files say: the shop, and per product what goals are made of."""

    catalogue: Catalogue
    synthetic: Mapping[str, Any]
    """ASIN to `instruction` and `instruction_attributes`."""
    human: Mapping[str, Any]
    """ASIN to the crowd's instructions, with attributes and options; empty without the file."""


def open_data(data: Path) -> DataFolder:
    """Read a folder, or the folder around a file `items_shuffle*.json`; reads it once per process.

    Raises `TaskDataError` if a file is missing, damaged or of another kind.
    """
    items = _items_file(data.expanduser())
    attributes = items.with_name(items.name.replace(_ITEMS, _ATTRIBUTES))
    human = items.with_name(_HUMAN)
    if not attributes.is_file():
        raise TaskDataError(f"{attributes} is missing; it belongs to {items.name}")
    files = [items, attributes, *([human] if human.is_file() else [])]
    stamps = tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files)
    return _load(stamps)


def _items_file(data: Path) -> Path:
    if data.is_file():
        if not data.name.startswith(_ITEMS):
            raise TaskDataError(f"{data} is not named {_ITEMS}*.json: give WebShop's product file")
        return data
    found = sorted(data.glob(f"{_ITEMS}*.json"))
    if not found:
        raise TaskDataError(
            f"no {_ITEMS}*.json in {data}: put WebShop's {_ITEMS}_1000.json, "
            f"{_ATTRIBUTES}_1000.json and {_HUMAN} there; the setup.sh of its repository names the "
            "download"
        )
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise TaskDataError(f"{data} has {names}: say which one with data={found[0]}")
    return found[0]


@lru_cache(maxsize=2)
def _load(stamps: tuple[tuple[str, int, int], ...]) -> DataFolder:
    digest = hashlib.sha256()

    def members(path: str) -> dict[str, Any]:
        records = JsonRecords(Path(path))
        table = {str(key): value for key, value in records}
        digest.update(records.digest.encode())
        return table

    items, attributes, *human = (path for path, _, _ in stamps)
    known = members(attributes)
    crowd = members(human[0]) if human else {}
    records = JsonRecords(Path(items))
    products: dict[str, Product] = {}
    for number, record in records:
        product = _product(record, known, f"{items}, product {number}")
        if product is not None:
            products.setdefault(product.asin, product)
    digest.update(records.digest.encode())
    if not products:
        raise TaskDataError(f"{items} has no products")
    name = f"files-{digest.hexdigest()[:16]}"
    return DataFolder(Catalogue(name, list(products.values())), known, crowd)


def _product(record: Any, known: Mapping[str, Any], where: str) -> Product | None:
    """Read one product; None for those that upstream leaves out."""
    if not isinstance(record, dict):
        raise TaskDataError(f"{where} is not a JSON object: is this WebShop's product file?")
    missing = [name for name in _NEEDED if not isinstance(record.get(name), str)]
    if missing:
        raise TaskDataError(f"{where} has no text in the field(s) {', '.join(missing)}")
    asin = record["asin"]
    if asin == "nan" or len(asin) > _LONGEST_ASIN:
        return None
    price, price_text = _price(asin, record.get("pricing"))
    bullets = record.get("small_description")
    lines = bullets if isinstance(bullets, list) else [bullets or ""]
    entry = known.get(asin)
    return Product(
        asin=asin,
        title=record["name"],
        price=price,
        price_text=price_text,
        category=intern(record["category"]),
        query=intern(record["query"].lower().strip()),
        product_category=intern(record["product_category"]),
        description=record.get("full_description") or "",
        bullets=tuple(map(str, lines)),
        options=_options(record.get("customization_options"), where),
        attributes=tuple((entry or {}).get("attributes") or ("DUMMY_ATTR",)),
    )


def _price(asin: str, pricing: object) -> tuple[float, str]:
    """Return the price and how it is shown: `$5.0`, or `$5.0 to $9.0` for `$5.00$9.00`."""
    parts = pricing.split("$")[1:] if isinstance(pricing, str) else []
    digits = [_NUMBER.search(part.replace(",", "")) for part in parts]
    numbers = [float(match.group()) for match in digits if match]
    if not numbers:
        return UNKNOWN_PRICE, f"${UNKNOWN_PRICE}"
    if len(numbers) == 1:
        return numbers[0], f"${numbers[0]}"
    low, high = numbers[:2]
    return Dice(f"price/{asin}").spread(low, high), f"${low} to ${high}"


def _options(table: object, where: str) -> dict[str, tuple[str, ...]] | None:
    if not table:
        return None
    if not isinstance(table, dict):
        raise TaskDataError(f"{where}: customization_options is not a JSON object")
    options = {}
    for name, values in table.items():
        if values is None:
            continue
        try:
            texts = [str(value["value"]).strip().replace("/", " | ").lower() for value in values]
        except (TypeError, KeyError) as error:
            raise TaskDataError(
                f"{where}: the values of option '{name}' are not objects with a 'value'"
            ) from error
        options[name.lower()] = tuple(texts)
    return options
