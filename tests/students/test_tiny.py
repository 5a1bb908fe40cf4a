"""The tiny student's tokenizer and what its base has read."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from agentkd.students.random_play import class_names, random_play, transcripts
from agentkd.students.tiny import BASE, build_model, build_tokenizer

TOKENIZER = AutoTokenizer.from_pretrained(str(BASE))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_any_text_survives(text: str) -> None:
    ids = TOKENIZER.encode(text, add_special_tokens=False)
    assert TOKENIZER.decode(ids, clean_up_tokenization_spaces=False) == text


@pytest.mark.parametrize("name", ["mug", "cabinet", "desklamp"])
@pytest.mark.parametrize("number", [1, 4, 9])
def test_a_numbered_name_is_one_token(name: str, number: int) -> None:
    assert len(TOKENIZER.encode(f" {name} {number}", add_special_tokens=False)) == 1


def test_a_turn_is_short(play) -> None:
    lengths = [
        len(TOKENIZER.encode(step.text, add_special_tokens=False))
        for episode in play(count=10)
        for step in episode.steps
    ]
    assert sum(lengths) / len(lengths) < 9


def test_names_start_out_as_class_plus_number() -> None:
    model = build_model(TOKENIZER)
    table = model.get_input_embeddings().weight.detach()

    def vector(text: str):
        return table[TOKENIZER.encode(text, add_special_tokens=False)[0]]

    moved = vector(" mug 2") - vector(" mug 1")
    same = vector(" plate 2") - vector(" plate 1")
    assert (moved - same).abs().max() < 1e-6
    assert 2e6 < sum(weight.numel() for weight in model.parameters()) < 5e6


def test_a_tokenizer_can_be_made_for_another_world() -> None:
    texts = ["go to harbour 3", "you see a crate 2 in harbour 3"] * 50
    tokenizer = build_tokenizer(texts, ["harbour", "crate"], vocabulary=400)
    assert len(tokenizer.encode(" harbour 3", add_special_tokens=False)) == 1
    assert tokenizer.decode(tokenizer.encode("at harbour 3!", add_special_tokens=False)) == (
        "at harbour 3!"
    )


def test_random_play_is_the_same_every_time() -> None:
    assert random_play(11) == random_play(11)
    assert random_play(11) != random_play(12)


def test_random_play_does_not_pursue_the_task() -> None:
    """The expert's subgoals never occur, and the kinds asked for are rarely the task's."""
    asked = wanted = 0
    for transcript in transcripts(0, 150):
        task = transcript.messages[0].content.rpartition("Your task is to:")[2]
        for message in transcript.messages[1:]:
            assert not re.search(r"Find |Have |One is done|Put it|Heat it", message.content)
            kind = re.search(r"Any (\w+)\?", message.content)
            if kind:
                asked += 1
                wanted += f" {kind.group(1)} " in task
    assert asked > 300
    assert wanted < 0.2 * asked


def test_questions_are_answered_from_the_text() -> None:
    asked = 0
    for transcript in transcripts(0, 100):
        said = transcript.messages[0].content
        for message in transcript.messages[1:]:
            answer = re.search(r"(?:Any|Where is) \w+\? (\w+ \d+)", message.content)
            if answer:
                asked += 1
                assert answer.group(1) in said
            said += message.content
    assert asked > 100


def test_exchanged_names_are_consistent_and_common() -> None:
    kinds = Counter(transcript.has_exchanged_names for transcript in transcripts(0, 200))
    assert 60 < kinds[True] < 140
    assert set(class_names()) >= {"mug", "cabinet", "sinkbasin", "toilet"}
