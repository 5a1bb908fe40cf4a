"""What a call costs: the user's price, else the one that `genai-prices` knows, else unknown.

A listed price is looked up by the API's URL and the model's name together. The same model behind
another URL, a local server above all, has no known price: unknown is not zero, and not a guess.
"""

from dataclasses import dataclass

from agentkd.trajectory import Usage


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens."""

    prompt: float
    completion: float
    cached: float | None = None
    """Prompt tokens out of the server's cache; as the others if not set."""

    def cost_usd(self, usage: Usage) -> float:
        """Cost of one call."""
        cached_price = self.prompt if self.cached is None else self.cached
        read = usage.prompt_tokens - usage.cached_tokens
        return (
            read * self.prompt
            + usage.cached_tokens * cached_price
            + usage.completion_tokens * self.completion
        ) / 1e6


class Prices:
    """Prices of one model."""

    def __init__(self, model: str, url: str | None, own: Price | None = None) -> None:
        self._model, self._url, self._own = model, url, own
        self.is_known = own is not None or self._listed(Usage(1, 1)) is not None

    def cost_usd(self, usage: Usage) -> float | None:
        """Cost of one call, None if it is unknown."""
        if not self.is_known:
            return None
        return self._own.cost_usd(usage) if self._own else self._listed(usage)

    def _listed(self, usage: Usage) -> float | None:
        if self._url is None:
            return None
        import genai_prices

        counted = genai_prices.Usage(
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            cache_read_tokens=usage.cached_tokens,
        )
        try:
            price = genai_prices.calc_price(counted, self._model, provider_api_url=self._url)
        except LookupError:
            return None
        return float(price.total_price)
