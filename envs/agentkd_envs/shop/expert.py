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
_FURTHER_PAGES = 3
_DETOUR = 3
"""Steps for leaving an item page, coming back to one, and buying."""


@dataclass
class Candidate:
    """What is known about one product."""

    offer: Offer
    text: str = ""
    """Title and sub pages read so far."""
    unread: list[str] = field(default_factory=lambda: list(_SUB_PAGES))
    rejected: str = ""
    """Why it is not bought; empty as long as it may be."""


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
        self._last_action = ""
        self._steps = 0

    def first(self, observation: str) -> Move:
        """Choose the first action from the first observation."""
        self.candidates.clear()
        self.chosen.clear()
        self.current, self._last_action, self._steps = "", "", 0
        self.page = read_page(observation, self.format)
        self.wishes = read_wishes(self.page.instruction)
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
                candidate.rejected = other
        self.page = page

    def _appraise(self, offer: Offer) -> Candidate:
        """Judge a product by what the list of results says of it."""
        candidate = Candidate(offer, offer.title)
        if not self.wishes.is_thing(offer.title):
            candidate.rejected = f"no {self.wishes.thing}"
        elif offer.highest_price > self.wishes.cap:
            candidate.rejected = f"{offer.price_text} is too much"
        else:
            candidate.rejected = self.wishes.contradiction(offer.title)
        return candidate

    def _open_questions(self, candidate: Candidate) -> list[str]:
        said = self.wishes.confirmed(candidate.text)
        return [wish for wish in self.wishes.properties if wish not in said]

    def _promising(self) -> list[Candidate]:
        """Return the candidates that may be right, those with fewest open questions first."""
        possible = [one for one in self.candidates.values() if not one.rejected]
        return sorted(possible, key=lambda one: len(self._open_questions(one)))

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
        if self.candidates:
            return Move("Back to the list.", f"search[{self.wishes.query}]")
        cap = f", up to ${self.wishes.cap:g}" if self.wishes.cap < NO_CAP else ""
        wanted = ", ".join([self.wishes.thing or "something", *self.wishes.properties])
        return Move(f"Need: {wanted}{cap}.", f"search[{self.wishes.query}]")

    def _pick(self) -> Move:
        here = {offer.asin for offer in self.page.offers}
        promising = self._promising()
        best = next((one for one in promising if one.offer.asin in here), None)
        if best is not None and (not self._open_questions(best) or self._is_enough(promising)):
            questions = self._open_questions(best)
            silent = f" {questions[0]}?" if questions else ""
            asin = best.offer.asin
            return Move(f"{asin} fits, {best.offer.price_text}.{silent}", f"click[{asin}]")
        more = self.page.number * PER_PAGE < self.page.total and self.format != "react"
        if more and self.page.number < _FURTHER_PAGES and self._steps_left() > 6:
            return Move("Nothing here fits. Next page.", f"click[{NEXT}]")
        if best is None and promising and self.page.number > 1:
            return Move("Something fits on the page before.", f"click[{BACK}]")
        return self._pick_anything(best)

    def _is_enough(self, promising: list[Candidate]) -> bool:
        """Return whether to look at what was found rather than at more results."""
        return len(self._open_questions(promising[0])) <= 1 or not self.wishes.thing

    def _pick_anything(self, best: Candidate | None) -> Move:
        if best is None:
            offers = [self.candidates[offer.asin] for offer in self.page.offers]
            best = min(offers, key=lambda one: len(self._open_questions(one)), default=None)
        if best is None:
            return Move("Nothing found. Fewer words.", f"search[{self.wishes.thing or 'gift'}]")
        asin = best.offer.asin
        return Move(f"{asin} comes nearest.", f"click[{asin}]")

    def _examine(self) -> Move:
        candidate = self.candidates.get(self.current)
        if candidate is None:
            return Move("I do not know this one. Back.", f"click[{BACK}]")
        wanted = self.wishes.wanted_values(self.page.options)
        missing = next((name for name, value in wanted.items() if not value), "")
        if missing:
            candidate.rejected = f"not in that {missing}"
        if self._steps_left() >= _DETOUR + len(wanted):
            if candidate.rejected and self._has_alternative():
                return Move(f"This is {candidate.rejected}. Back.", f"click[{BACK}]")
            questions = self._open_questions(candidate)
            if questions and candidate.unread and not candidate.rejected:
                page = candidate.unread[0]
                return Move(f"{questions[0]}? Read {page}.", f"click[{page}]")
        judged = "It comes nearest" if candidate.rejected else "This fits"
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

    def _has_alternative(self) -> bool:
        return any(one.offer.asin != self.current for one in self._promising()) or (
            self._steps_left() > 8
        )

    def _steps_left(self) -> int:
        return STEPS - self._steps

