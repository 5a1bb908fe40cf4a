"""A scripted customer who reads only what the agent reads, and says in a few words why it acts.

It searches for the thing and its properties, passes over results whose title or price rule them
out, opens what is left, reads `Features` and `Description` where the title is silent, chooses the
options and buys. It decides anew after each observation from what it believes, so it does not
matter who chose the previous action. When the steps run out it buys the best that it has seen.
"""

from dataclasses import dataclass, field
from random import Random

from agentkd_envs.base import Move
from agentkd_envs.shop.mistakes import mistake
from agentkd_envs.shop.pages import BACK, BUY, NEXT, TO_SEARCH
from agentkd_envs.shop.product import NO_CAP
from agentkd_envs.shop.reading import Offer, Page, read_page
from agentkd_envs.shop.session import PER_PAGE
from agentkd_envs.shop.wishes import Wishes, read_wishes

STEPS = 15
"""Steps that the customer counts on, those of the environment's default limit."""

_SUB_PAGES = ("Features", "Description")
_PAGES = 2
"""Pages of results to look at before searching with other words."""
_LAST_SEARCH = 7
"""Steps that must be left for more results to be of use."""
_OTHER_THING = 3
"""Flaws that a product counts as having if it is another kind of thing."""
_DETOUR = 3
"""Steps for leaving an item page, coming back to one, and buying."""


@dataclass
class Candidate:
    """What is known about one product."""

    offer: Offer
    text: str = ""
    """Title and sub pages read so far."""
    unread: list[str] = field(default_factory=lambda: list(_SUB_PAGES))
    flaws: int = 0
    """How much speaks against it, beside properties of which nothing is said."""
    rejected: str = ""
    """Why it is not bought; empty as long as it may be."""

    def reject(self, reason: str, flaws: int = 1) -> None:
        """Rule it out, unless nothing better turns up."""
        self.rejected = reason
        self.flaws += flaws


class ShopExpert:
    """Solves one episode in any of the formats."""

    def __init__(self, format_name: str = "text") -> None:
        self.format = format_name
        self.page: Page
        self.wishes: Wishes
        self.candidates: dict[str, Candidate] = {}
        self.current = ""
        """Product whose page is open."""
        self.chosen: dict[str, str] = {}
        """Options chosen on that page."""
        self._queries: tuple[str, ...] = ()
        """Searches not tried yet."""
        self._settled = ""
        """Product that is bought although it is not quite right."""
        self._last_action = ""
        self._steps = 0

    def first(self, observation: str) -> Move:
        """Choose the first action from the first observation."""
        self.candidates.clear()
        self.chosen.clear()
        self.current, self._settled, self._last_action, self._steps = "", "", "", 0
        self.page = read_page(observation, self.format)
        self.wishes = read_wishes(self.page.instruction)
        self._queries = self.wishes.queries
        return self._decide()

    def note_action(self, action: str) -> None:
        """Learn that `action` was executed instead of the expert's last move."""
        self._last_action = action

    def next(self, observation: str) -> Move:
        """Choose the next action after `observation`, whoever chose the action that led to it."""
        self._steps += 1
        label = self._clicked()
        page = read_page(observation, self.format)
        if page.name is not None:
            self._turn_to(page, label)
        if self.page.name == "item":
            for name, values in self.page.options.items():
                if label in values:
                    self.chosen[name] = label
        return self._decide()

    def mistake(self, random: Random) -> Move:
        """Return a move that a careless customer might make now; the expert can repair it."""
        return mistake(self.page, self.wishes, random)

    # Believing.

    def _clicked(self) -> str:
        name, _, label = self._last_action.strip().partition("[")
        label = label.removesuffix("]")
        return label if name == "click" else ""

    def _turn_to(self, page: Page, label: str) -> None:
        if page.name == "results":
            self.chosen.clear()
            for offer in page.offers:
                self.candidates.setdefault(offer.asin, self._appraise(offer))
        elif page.name == "item" and self.page.name == "results":
            self.current = label.upper()
        elif page.name == "sub" and self.current in self.candidates:
            candidate = self.candidates[self.current]
            candidate.text += f" {page.text}"
            read = label.title()
            candidate.unread = [name for name in candidate.unread if name != read]
            other = self.wishes.contradiction(page.text)
            if other:
                candidate.reject(other)
        self.page = page

    def _appraise(self, offer: Offer) -> Candidate:
        """Judge a product by what the list of results says of it."""
        candidate = Candidate(offer, offer.title)
        if not self.wishes.is_thing(offer.title):
            candidate.reject(f"no {self.wishes.thing}", _OTHER_THING)
        elif offer.highest_price > self.wishes.cap:
            candidate.reject("too dear")
        elif self.wishes.contradiction(offer.title):
            candidate.reject(self.wishes.contradiction(offer.title))
        return candidate

    def _open_questions(self, candidate: Candidate) -> list[str]:
        said = self.wishes.confirmed(candidate.text)
        return [wish for wish in self.wishes.properties if wish not in said]

    def _doubts(self, candidate: Candidate) -> int:
        return len(self._open_questions(candidate)) + candidate.flaws

    # Deciding.

    def _decide(self) -> Move:
        move = {
            "index": self._search,
            "results": self._pick,
            "item": self._examine,
            "sub": self._leave_sub_page,
        }.get(self.page.name or "", self._search)()
        self._last_action = move.action
        return move

    def _search(self) -> Move:
        query = next(iter(self._queries), self.wishes.queries[0])
        self._queries = self._queries[1:]
        if self.candidates:
            return Move("Other words may find more.", f"search[{query}]")
        cap = f", up to ${self.wishes.cap:g}" if self.wishes.cap < NO_CAP else ""
        wanted = ", ".join([self.wishes.thing or "something", *self.wishes.properties])
        return Move(f"Need: {wanted}{cap}.", f"search[{query}]")

    def _pick(self) -> Move:
        here = [self.candidates[offer.asin] for offer in self.page.offers]
        fitting = [one for one in here if not one.rejected]
        best = min(fitting, key=self._doubts, default=None)
        if best is not None and (self._doubts(best) <= 1 or not self.wishes.thing):
            questions = self._open_questions(best)
            asked = f" {questions[0]}?" if questions else ""
            asin = best.offer.asin
            return Move(f"{asin} may fit, {best.offer.price_text}.{asked}", f"click[{asin}]")
        if self._steps_left() > _LAST_SEARCH:
            is_last_page = self.page.number * PER_PAGE >= self.page.total
            if self.format != "react" and not is_last_page and self.page.number < _PAGES:
                return Move("Nothing here fits. Next page.", f"click[{NEXT}]")
            if self._queries:
                return Move("Nothing here fits. Search again.", f"click[{TO_SEARCH}]")
        if not here:
            return Move("Nothing found.", f"click[{TO_SEARCH}]")
        nearest = best or min(here, key=self._doubts)
        self._settled = nearest.offer.asin
        return Move(f"{self._settled} comes nearest.", f"click[{self._settled}]")

    def _examine(self) -> Move:
        candidate = self.candidates.get(self.current)
        if candidate is None:
            return Move("I do not know this one. Back.", f"click[{BACK}]")
        wanted = self.wishes.wanted_values(self.page.options)
        missing = next((name for name, value in wanted.items() if not value), "")
        if missing and not candidate.rejected:
            candidate.reject(f"not in that {missing}")
        if self._steps_left() >= _DETOUR + len(wanted):
            if candidate.rejected and self.current != self._settled:
                return Move(f"This one: {candidate.rejected}. Back.", f"click[{BACK}]")
            questions = self._open_questions(candidate)
            if questions and candidate.unread and not candidate.rejected:
                page = candidate.unread[0]
                return Move(f"{questions[0]}? Read {page}.", f"click[{page}]")
        judged = "It may fit" if self._open_questions(candidate) else "This fits"
        if candidate.rejected:
            judged = "It comes nearest"
        for name, value in wanted.items():
            if value and self.chosen.get(name) != value:
                return Move(f"{judged}. Choose {name}: {value}.", f"click[{value}]")
        return Move("All is chosen. Buy.", f"click[{BUY}]")

    def _leave_sub_page(self) -> Move:
        if self.current not in self.candidates:
            return Move("Back to the shop.", f"click[{TO_SEARCH}]")
        said = self.wishes.confirmed(self.page.text)
        said.append(self.wishes.contradiction(self.page.text) or "nothing of it")
        return Move(f"It says: {said[0]}. Back.", f"click[{BACK}]")

    def _steps_left(self) -> int:
        return STEPS - self._steps
