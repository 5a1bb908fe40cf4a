"""What a shop sells and what a customer wants, as plain facts without any page layout."""

from collections.abc import Mapping
from dataclasses import dataclass

CATEGORIES = ("beauty", "fashion", "garden", "grocery", "electronics")
"""WebShop's five categories; a task's kind is the category of its goal."""

NO_CAP = 1_000_000.0
"""Price cap of a goal that names none."""


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """One product, with the texts that its pages show; equal only to itself."""

    asin: str
    """Its number in the shop: up to ten characters, unique."""
    title: str
    price: float
    """What is compared with the cap, in dollars; of a price range, one price within it."""
    price_text: str
    """`$12.5`, or `$12.5 to $20.0`."""
    category: str
    """One of `CATEGORIES`."""
    query: str
    """The search phrase under which the product is filed."""
    product_category: str
    """Path in the shop's tree, its levels separated by U+203A."""
    description: str = ""
    bullets: tuple[str, ...] = ()
    """Lines of the page `Features`."""
    options: Mapping[str, tuple[str, ...]] | None = None
    """Option name to its values, in the order of the page; None or empty if there are none."""
    attributes: tuple[str, ...] = ()
    """What the product is known to be; shown only where the attributes page is switched on."""
    rating: str = "N.A."

    def document(self) -> str:
        """Return what the search engine indexes, in lower case."""
        options = ", and ".join(
            f"{name}: {', '.join(values)}" for name, values in (self.options or {}).items()
        )
        first = self.bullets[0] if self.bullets else ""
        return f"{self.title} {self.description} {first} {options}".lower()


@dataclass(frozen=True)
class Goal:
    """What the customer wants."""

    asin: str
    """The product that the goal was written for."""
    instruction: str
    attributes: tuple[str, ...]
    """Attributes that the product must have; at least one."""
    options: Mapping[str, str] | tuple[str, ...]
    """Wanted values by option name, or, as the crowd's goals have it, values alone."""
    price_upper: float = NO_CAP
    """Highest price that earns the price point, in dollars."""
