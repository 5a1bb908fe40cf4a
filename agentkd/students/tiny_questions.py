"""The `tiny_questions` student: a small Llama with a tokenizer for the generated questions.

The tokenizer is byte-level BPE, learnt when the student is loaded from texts of the training
questions (`agentkd.students.question_texts`), always the same. It takes any text and gives it back
unchanged. Three kinds of pieces are never merged with what stands around them, so that copying a
name or a number is copying the same few tokens wherever it stands:

- syllables of names: `Tadrilo` is `Ta`, `dri`, `lo`; a given name is one token;
- digits, one by one;
- words that questions and documents are made of: relations, sorts, `The Lantern of `.

The model is a Llama of four million parameters that has been trained on nothing. Its weights are
random, from a seed, but for a few heads that can copy from the start (`agentkd.students.copying`).
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from agentkd_envs.questions.world.names import (
    CLUSTERS,
    FIRST_SYLLABLES,
    GIVEN_NAMES,
    LAST_SYLLABLES,
    MIDDLE_SYLLABLES,
    ONSETS,
)
from agentkd_envs.questions.world.relations import ORGANISATION_SORTS, RELATIONS, WORK_SORTS
from agentkd_envs.questions.world.world import MOTIFS

from agentkd.students.question_texts import solved_questions
from agentkd.students.tiny import trained_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

QUESTIONS = 120
"""Training questions of each source that the tokenizer reads."""
VOCABULARY = 2048
_REPEATS = 200
"""How often a piece is shown, so that it becomes one token."""

_MIDDLE = f"(?:{'|'.join(CLUSTERS)})[aeiou]"
_LAST = f"[{ONSETS.lower()}][aeiou](?![a-z])"
_SYLLABLES = (
    f"[{ONSETS}][aeiou](?={_MIDDLE}{_LAST})",
    f"(?<=[{ONSETS}][aeiou]){_MIDDLE}(?={_LAST})",
    f"(?<=[{ONSETS}][aeiou][a-z][a-z][aeiou]){_LAST}",
    f"[AEIOU]{_MIDDLE}(?![a-z])(?: (?=[{ONSETS}]))?",
)


def _words() -> tuple[str, ...]:
    relations = [relation.name for relation in RELATIONS.values()]
    synonyms = [relation.synonym for relation in RELATIONS.values() if relation.synonym]
    return (
        *(f"The {motif} of " for motif in MOTIFS),
        *(f" {sort.capitalize()}" for sort in ORGANISATION_SORTS),
        *(f" {word}" for word in (*relations, *synonyms, *WORK_SORTS, *ORGANISATION_SORTS)),
    )


def build_question_tokenizer() -> "PreTrainedTokenizerFast":
    """Learn the tokenizer; the result is always the same."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    longest_first = sorted(_words(), key=lambda word: (-len(word), word))
    words = "|".join(f"{re.escape(word)}(?![a-z])" for word in longest_first)
    pieces = "|".join((*_SYLLABLES, r"\d", words))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pieces), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return trained_tokenizer(tokenizer, _texts(), VOCABULARY)


def _texts() -> Iterator[str]:
    yield from (message.content for turns in solved_questions(QUESTIONS) for message in turns)
    given = [f"{name} T" for name in GIVEN_NAMES]
    for piece in (*FIRST_SYLLABLES, *MIDDLE_SYLLABLES, *LAST_SYLLABLES, *GIVEN_NAMES, *given):
        yield from [piece] * _REPEATS
    for word in _words():
        yield from [word] * _REPEATS
