"""The student for the generated shop: pages cost few tokens, and codes are easy to copy."""

import pytest
import torch
from agentkd_envs.shop.environment import ShopEnv
from agentkd_envs.shop.generator import generated_catalogue
from agentkd_envs.shop.vocabulary import facets, families
from hypothesis import given
from hypothesis import strategies as st

from agentkd.students.load import Student, load_student
from agentkd.students.shop_texts import served_customers


@pytest.fixture(scope="module")
def student() -> Student:
    return load_student("tiny_shop")


def pieces(student: Student, text: str) -> list[str]:
    tokenizer = student.tokenizer
    return [tokenizer.decode([token]) for token in tokenizer(text)["input_ids"]]


def test_a_code_is_the_same_six_tokens_wherever_it_stands(student):
    codes = [product.asin for product in generated_catalogue().products[:200]]
    for code in codes:
        expected = ["B", *(code[n : n + 2] for n in (1, 3, 5, 7)), code[9]]
        for around in (
            "Action: click[%s]",
            " \n[%s] \n",
            " [SEP] %s [SEP] ",
            "Thought: %s may fit",
        ):
            found = pieces(student, around % code)
            start = found.index("B")
            assert found[start : start + 6] == expected
    assert len({code[1:3] for code in codes}) > 150


def test_words_of_the_shop_are_single_tokens(student):
    phrases = [family.name for family in families()]
    phrases += [value for facet in facets().values() for value in facet.values]
    for word in {word for phrase in phrases for word in phrase.split()}:
        for text in (f" {word}", f" {word.title()}"):
            assert pieces(student, text) == [text]
        assert pieces(student, f"search[{word}]")[-2:] == [word, "]"]


def test_whole_dollars_are_single_tokens(student):
    assert pieces(student, " \n$129.99 \n[")[-2:] == ["129", ".99 \n["]
    assert pieces(student, ", up to $40.")[-2:] == ["40", "."]


def test_words_of_different_case_begin_alike(student):
    embeddings = student.model.get_input_embeddings().weight.detach()[:, 1:97]

    def likeness(first: str, second: str) -> float:
        one, other = (
            embeddings[student.tokenizer(text)["input_ids"][0]] for text in (first, second)
        )
        return float(torch.cosine_similarity(one, other, dim=0))

    assert likeness(" solid", " Solid") > 0.4
    assert abs(likeness(" solid", " Leather")) < 0.3


@given(text=st.text(max_size=80))
def test_any_text_comes_back_unchanged(student, text):
    tokenizer = student.tokenizer
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_it_is_the_same_each_time(student):
    again = load_student("tiny_shop")
    assert again.tokenizer.get_vocab() == student.tokenizer.get_vocab()
    for first, second in zip(again.model.parameters(), student.model.parameters(), strict=True):
        assert torch.equal(first, second)


def test_episodes_are_a_third_of_what_they_are_in_general_words(student):
    general = load_student("tiny").tokenizer
    lengths, general_lengths = [], []
    for messages in served_customers(30, first=900):
        turns = [{"role": message.role, "content": message.content} for message in messages]
        text = student.tokenizer.apply_chat_template(turns, tokenize=False)
        lengths.append(len(student.tokenizer(text)["input_ids"]))
        general_lengths.append(len(general(text)["input_ids"]))
    assert 3 * sum(lengths) < sum(general_lengths)
    assert max(lengths) < student.context


def test_the_texts_of_the_tokenizer_are_of_training_goals_only():
    tasks = ShopEnv().tasks("train", 20)
    asked = [turns[0].content for turns in served_customers(20)]
    assert len(asked) == len(set(asked)) == 20
    for task, text in zip(tasks, asked, strict=True):
        assert task.payload["instruction"] in text
