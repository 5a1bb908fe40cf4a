"""A small folder in the schema of WebShop's files, with what is odd in the real ones."""

import json
from pathlib import Path
from typing import Any

SHOE, TEA, GLOBE = "B000000001", "B000000002", "B000000003"
CANDLES = [f"B0000000{number}" for number in range(10, 22)]


def product(asin: str, name: str, **fields: Any) -> dict[str, Any]:
    record = {
        "name": name,
        "product_information": {"ASIN": asin},
        "brand": "none",
        "full_description": "",
        "pricing": "$10.00",
        "images": ["http://example.com/1.jpg"],
        "product_category": "Home & Kitchen \u203a Decor \u203a Candles",
        "small_description": ["burns evenly"],
        "customization_options": "",
        "asin": asin,
        "category": "garden",
        "query": "Candles",
        "page": 1,
    }
    return record | fields


PRODUCTS = [
    product(
        SHOE,
        "Nordvale Trail Running Shoe",
        full_description="A shoe for long ways.",
        small_description=["rubber sole", "machine washable"],
        pricing="$49.99",
        customization_options={
            "Color": [
                {"value": " Blue/White ", "image": None},
                {"value": "Navy", "image": "http://example.com/2.jpg"},
            ],
            "Size": [{"value": "9"}, {"value": "10"}],
        },
        category="fashion",
        query=" Trail Shoes ",
        product_category="Clothing \u203a Shoes \u203a Running",
    ),
    product(
        TEA,
        "Th\u00e9 vert \u00ab Cr\u00e8me \u00bb & more",
        full_description=None,
        small_description="fair trade",
        pricing="$1,017.50$1,032.00$3",
        category="grocery",
        query="green tea",
        product_category="Grocery \u203a Tea",
    ),
    product(
        GLOBE,
        "Globe Lamp",
        pricing=None,
        small_description=[],
        customization_options={"Size": None},
        category="electronics",
        query="lamps",
        product_category="Electronics \u203a Lamps",
    ),
    product(SHOE, "The same number again"),
    product("nan", "Without a number"),
    product("B00000000001", "With a long number"),
    *(product(asin, f"Candle number {asin[-2:]}", pricing="$9.50") for asin in CANDLES),
]

ATTRIBUTES = {
    SHOE: {
        "attributes": ["rubber sole", "trail running"],
        "instruction": "i need trail running shoes",
        "instruction_attributes": ["trail running"],
    },
    TEA: {"attributes": ["fair trade"], "instruction": None, "instruction_attributes": None},
    CANDLES[0]: {
        "attributes": ["long burning"],
        "instruction": "find a long burning candle",
        "instruction_attributes": ["long burning"],
    },
}

HUMAN = {
    SHOE: [
        {
            "instruction": "i want running shoes in navy, size 9.",
            "instruction_attributes": ["rubber sole", "machine washable"],
            "instruction_options": ["navy", "9"],
        },
        {"instruction": "anything", "instruction_attributes": [], "instruction_options": []},
    ],
    TEA: [
        {
            "instruction": "fair trade green tea",
            "instruction_attributes": ["fair trade"],
            "instruction_options": [],
        }
    ],
    "B0MISSING0": [
        {"instruction": "gone", "instruction_attributes": ["x"], "instruction_options": []}
    ],
}


def write_files(folder: Path, human: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "items_shuffle_1000.json": PRODUCTS,
        "items_ins_v2_1000.json": ATTRIBUTES,
        **({"items_human_ins.json": HUMAN} if human else {}),
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return folder
