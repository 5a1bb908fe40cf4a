"""Says what a run has spent on calls of chat models."""

from pathlib import Path

from rich.console import Console

from agentkd.calls.ledger import Ledger, Spent


def show_spent(console: Console, path: Path, steps_from_cache: int) -> None:
    """One line per role, over all resumptions of the run; nothing if no model was called."""
    if path.exists():
        with Ledger(path) as ledger:
            for role, spent in ledger.roles.items():
                console.print(f"  {role}: {describe(spent)}", highlight=False)
    if steps_from_cache:
        console.print(f"  {steps_from_cache:,} steps out of the cache of calls", highlight=False)


def describe(spent: Spent) -> str:
    """Calls, tokens and cost in words."""
    cached = spent.prefix_cache_hit_rate
    hits = "" if cached is None else f" ({cached:.0%} out of the server's prefix cache)"
    uncounted = f" ({spent.uncounted_calls:,} not counted)" if spent.uncounted_calls else ""
    return (
        f"{spent.calls:,} calls{uncounted}, {spent.prompt_tokens:,} prompt tokens{hits}, "
        f"{spent.completion_tokens:,} completion tokens, {cost(spent)}"
    )


def cost(spent: Spent) -> str:
    """The sum in US dollars, as far as it is known."""
    if not spent.unpriced_calls:
        return f"${spent.cost_usd:,.4f}"
    if spent.unpriced_calls == spent.calls:
        return "price unknown"
    return f"${spent.cost_usd:,.4f} and {spent.unpriced_calls:,} calls of unknown price"
