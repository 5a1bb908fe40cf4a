"""A shop's products together: looked up by number, and searched."""

from collections.abc import Sequence
from functools import cached_property

from agentkd_envs.shop.product import Product
from agentkd_envs.shop.search import SearchIndex


class Catalogue:
    """Products of one shop. The search index is built when it is first used."""

    def __init__(self, name: str, products: Sequence[Product]) -> None:
        self.name = name
        """Identifies the content: tasks name the catalogue that they need."""
        self.products = products
        self.by_asin = {product.asin: product for product in products}

    @cached_property
    def index(self) -> SearchIndex:
        """Index of the products, in their order."""
        return SearchIndex(product.document() for product in self.products)

    def search(self, keywords: str) -> list[Product]:
        """Return at most 50 products, best first."""
        return [self.products[number] for number in self.index.search(keywords)]
