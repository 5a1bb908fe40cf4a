"""The student for generated questions: names cost few tokens, and it can copy before training."""

import pytest
import torch
from agentkd_envs.questions.sources import make_source
from agentkd_envs.questions.world.names import GIVEN_NAMES, STEMS, stem
from hypothesis import given
from hypothesis import strategies as st

from agentkd.students.copying import build_copying_model
from agentkd.students.load import Student, load_student
from agentkd.students.question_texts import solved_questions


@pytest.fixture(scope="module")
def student() -> Student:
    return load_student("tiny_questions")


def pieces(student: Student, text: str) -> list[str]:
    tokenizer = student.tokenizer
    return [tokenizer.decode([token]) for token in tokenizer(text)["input_ids"]]


def test_it_has_four_million_parameters(student):
    assert 3e6 < sum(weight.numel() for weight in student.model.parameters()) < 5e6
    assert student.context >= 2048


def test_a_name_is_the_same_few_tokens_wherever_it_stands(student):
    for number in range(0, STEMS, STEMS // 60):
        name = stem(number)
        given_name = GIVEN_NAMES[number % len(GIVEN_NAMES)]
        syllables = [name[:2], name[2:5], name[5:]]
        for before, after in (("", ""), ('search("', '")'), ("of ", "?"), ("[1] ", "\n")):
            assert syllables == [
                piece for piece in pieces(student, before + name + after) if piece in syllables
            ]
        person = pieces(student, f"is {given_name} {name}.")
        assert person[-5:-1] == [f"{given_name} ", *syllables]


def test_digits_are_single_tokens(student):
    assert pieces(student, "13138980") == list("13138980")
    assert "1" in pieces(student, "born in Tadrilo in 1832.")


@given(text=st.text(max_size=80))
def test_any_text_comes_back_unchanged(student, text):
    tokenizer = student.tokenizer
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_it_is_the_same_each_time(student):
    again = load_student("tiny_questions")
    assert again.tokenizer.get_vocab() == student.tokenizer.get_vocab()
    for first, second in zip(again.model.parameters(), student.model.parameters(), strict=True):
        assert torch.equal(first, second)
    other = build_copying_model(student.tokenizer, seed=1)
    assert not torch.equal(other.lm_head.weight, student.model.lm_head.weight)


def test_before_training_it_continues_what_is_repeated(student):
    """What followed a token before is what it expects now, far above one chance in a thousand."""
    generator = torch.Generator().manual_seed(0)
    right = []
    for _ in range(6):
        half = torch.randint(300, 1300, (60,), generator=generator)
        tokens = torch.cat([half, half])[None]
        with torch.no_grad():
            likely = student.model(tokens).logits[0].argmax(dim=-1)
        right.append((likely[62:-1] == tokens[0, 63:]).float().mean().item())
    assert sum(right) / len(right) > 0.3


def test_it_is_stored_and_loaded_like_any_other(student, tmp_path):
    student.model.save_pretrained(tmp_path)
    student.tokenizer.save_pretrained(tmp_path)
    again = load_student(str(tmp_path))
    tokens = student.tokenizer("New task: What is the capital of Tadrilo?", return_tensors="pt")
    with torch.no_grad():
        expected = student.model(tokens["input_ids"]).logits
        assert torch.allclose(again.model(tokens["input_ids"]).logits, expected, atol=1e-4)


def test_episodes_are_short(student):
    lengths = []
    for messages in solved_questions(30, first=500):
        turns = [{"role": message.role, "content": message.content} for message in messages]
        text = student.tokenizer.apply_chat_template(turns, tokenize=False)
        lengths.append(len(student.tokenizer(text)["input_ids"]))
    agents = lengths[0:60:2]
    assert 120 < sum(agents) / len(agents) < 300
    assert max(lengths) < 500


def test_the_texts_of_the_tokenizer_are_of_training_questions_only():
    unseen = {task.payload["question"] for task in make_source("world").tasks("unseen", 50)}
    asked = {turns[0].content.removeprefix("New task: ") for turns in solved_questions(20)}
    assert len(asked) == 40
    assert not asked & unseen
