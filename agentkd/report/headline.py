"""The first sentences of a report: what the run has shown, in words and numbers.

They speak of the split that matters most, `unseen` if it was evaluated, and of the trained student
if there is one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agentkd.evaluate.summary import Result
from agentkd.report.plain_text import name_of
from agentkd.report.quantities import interval, percent, plural, whole
from agentkd.report.roles import Role

MAIN_SPLIT = "unseen"


@dataclass(frozen=True)
class Headline:
    """A title and the sentences under it."""

    title: str
    sentences: tuple[str, ...]

    @property
    def plain(self) -> str:
        """All of it as one text."""
        return f"{self.title}. {' '.join(self.sentences)}".strip()


def main_split(results: Sequence[Result]) -> str:
    """Return the split that the report is about: `unseen`, or else the last that has graded
    episodes.
    """
    splits = [result.split for result in results if result.episodes] or [
        result.split for result in results
    ]
    if not splits or MAIN_SPLIT in splits:
        return MAIN_SPLIT
    return splits[-1]


def headline(results: Sequence[Result], roles: Sequence[Role], run: str) -> Headline:
    """Say what the results say. `run` is the folder, for the next command."""
    if not results:
        return Headline(
            "Nothing has been evaluated yet",
            ("The summary lists no result.", f"Make one with: agentkd eval --run {run}"),
        )
    broken = sum(result.infrastructure_failures for result in results)
    if not any(result.episodes for result in results):
        ended = f"All {whole(broken)} were" if broken > 1 else "It was"
        why = f"{ended} ended by a broken machine, not by the agent. " if broken else ""
        return Headline(
            "No episode could be graded",
            (f"{why}Run the evaluation again with: agentkd eval --run {run}",),
        )
    split = main_split(results)
    graded = {
        result.policy: result for result in results if result.split == split and result.episodes
    }
    present = [role for role in roles if role.policy in graded]
    subject = next((role for role in present if role.is_student), present[0])
    result = graded[subject.policy]
    sentences = [
        f"95 % confidence interval {interval(result.ci_low, result.ci_high)}, from "
        f"{whole(result.successes)} of {plural(result.episodes, 'episode')}."
    ]
    others = [
        (role.phrase, percent(graded[role.policy].success_rate))
        for role in reversed(present)
        if role is not subject
    ]
    if others:
        (phrase, rate), *rest = others
        parts = [f"{phrase} solves {rate}", *(f"{phrase} {rate}" for phrase, rate in rest)]
        sentences.append(_capital(_enumerated(parts)) + ".")
    elsewhere = [
        f"{percent(other.success_rate)} of {name_of(other.split)} tasks"
        for other in results
        if other.policy == subject.policy and other.split != split and other.episodes
    ]
    if elsewhere:
        sentences.append(f"{_capital(subject.phrase)} solves {_enumerated(elsewhere)}.")
    if not subject.is_student:
        sentences.append("No trained student has been evaluated on this split.")
    return Headline(f"{_capital(subject.phrase)} {_solves(result)}", tuple(sentences))


def _solves(result: Result) -> str:
    if result.episodes == 1:
        verb = "solves" if result.successes else "does not solve"
        return f"{verb} the one {name_of(result.split)} task that it was given"
    if result.successes == 0:
        return f"solves none of the {whole(result.episodes)} {name_of(result.split)} tasks"
    if result.successes == result.episodes:
        return f"solves all of the {whole(result.episodes)} {name_of(result.split)} tasks"
    return f"solves {percent(result.success_rate)} of {name_of(result.split)} tasks"


def _enumerated(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
