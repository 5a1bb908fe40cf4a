"""Tokens and labels: the only place that renders chat templates.

A conversation is rendered once as a whole, and for each assistant message up to the point where the
model begins to write (`add_generation_prompt=True`). The whole must begin with each of these
renderings, followed by the message exactly as it was written and the end-of-turn token; a template
that rewrites earlier turns or alters a message is refused by name. What lies between two points is
a *segment*: what the environment said, or what the policy wrote. Segments are tokenised one by
one, so that no token straddles a border and the tokens are those that the student reads and writes
when it acts (`agentkd.policies.student` uses the same code).

Trained tokens of a policy segment: the message and the end-of-turn token behind it, nothing after
it. The end-of-turn token is found by rendering a sentinel message, not by name.

Not done here: templates that rewrite history, tool-call messages, weights per token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from agentkd.errors import TemplateError
from agentkd.trajectory import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
"""Label of a token that carries no loss, as PyTorch's cross entropy and TRL understand it."""

_SENTINEL = "sentinel7391"


@dataclass(frozen=True)
class Segment:
    """A piece of a rendered conversation."""

    text: str
    message: int | None
    """Index of the assistant message that this is, None for everything else."""


@dataclass(frozen=True)
class LabelledRow:
    """Tokens and labels of one conversation; both lists have the same length."""

    input_ids: list[int]
    labels: list[int]

    @property
    def trained_tokens(self) -> int:
        """Tokens that carry loss."""
        return sum(label != IGNORED for label in self.labels)


class ChatRenderer:
    """Renders conversations with one tokenizer's chat template, and checks what it renders.

    Raises `TemplateError` if the tokenizer has no chat template or no end-of-turn token.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self.tokenizer = tokenizer
        self.name = str(getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__)
        if not getattr(tokenizer, "chat_template", None):
            raise TemplateError(
                f"the tokenizer of '{self.name}' has no chat template; use an instruct model, or "
                "set tokenizer.chat_template before training"
            )

    @cached_property
    def end_of_turn_id(self) -> int:
        """The token that ends a message of the policy."""
        user = Message("user", "x")
        rendered = self.render([user, Message("assistant", _SENTINEL)], generate=False)
        if rendered.count(_SENTINEL) != 1:
            raise TemplateError(f"the chat template of '{self.name}' drops or repeats messages")
        suffix = self.encode(rendered.split(_SENTINEL)[1])
        if not suffix or suffix[0] not in self._special_ids:
            raise TemplateError(
                f"the chat template of '{self.name}' does not end an assistant message with a "
                "special token, so a student would never learn to stop"
            )
        return suffix[0]

    @cached_property
    def end_of_turn(self) -> str:
        """Text of the end-of-turn token."""
        return str(self.tokenizer.convert_ids_to_tokens(self.end_of_turn_id))

    @cached_property
    def _special_ids(self) -> frozenset[int]:
        added = self.tokenizer.added_tokens_decoder
        return frozenset({*added, *self.tokenizer.all_special_ids})

    def render(self, messages: Sequence[Message], *, generate: bool) -> str:
        """Render as text; with `generate`, up to the point where the assistant begins to write."""
        rendered: Any = self.tokenizer.apply_chat_template(
            [{"role": message.role, "content": message.content} for message in messages],
            tokenize=False,
            add_generation_prompt=generate,
        )
        return str(rendered)

    def encode(self, text: str) -> list[int]:
        """Tokenise rendered text, in which special tokens stand as text already."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def decode(self, tokens: Sequence[int]) -> str:
        """Turn tokens into exactly the text that they stand for."""
        return str(
            self.tokenizer.decode(
                list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        )

    def segments(self, messages: Sequence[Message]) -> list[Segment]:
        """Cut a conversation into what the policy wrote and everything else.

        The texts of the segments, joined, are the rendering of the whole conversation. Raises
        `TemplateError` if the template is not prefix-stable or alters what the policy wrote.
        """
        segments: list[Segment] = []
        whole = self.render(messages, generate=False)
        done = ""
        for index, message in enumerate(messages):
            if message.role != "assistant":
                continue
            before = self.render(messages[:index], generate=True)
            self._check_prefix(before, done)
            own = message.content + self.end_of_turn
            segments += [Segment(before[len(done) :], None), Segment(own, index)]
            done = before + own
            if not whole.startswith(done):
                self._explain_difference(whole, before, own)
        if whole != done:
            segments.append(Segment(whole[len(done) :], None))
        return segments

    def label(self, messages: Sequence[Message], loss: Sequence[bool]) -> LabelledRow:
        """Tokenise a conversation and label the tokens of the assistant messages with `loss` set.

        `loss` has one flag per message; flags of other roles must be false. Text after the last
        assistant message is left out: nothing in it is trained, and no trained token sees it.
        """
        if len(loss) != len(messages):
            raise ValueError(f"{len(messages)} messages but {len(loss)} loss flags")
        for message, is_trained in zip(messages, loss, strict=True):
            if is_trained and message.role != "assistant":
                raise ValueError(f"a {message.role} message cannot carry loss")
        input_ids: list[int] = []
        labels: list[int] = []
        segments = self.segments(messages)
        while segments and segments[-1].message is None:
            segments.pop()
        for segment in segments:
            tokens = self.encode(segment.text)
            input_ids += tokens
            if segment.message is not None and loss[segment.message]:
                labels += tokens
            else:
                labels += [IGNORED] * len(tokens)
        return LabelledRow(input_ids, labels)

    def _check_prefix(self, longer: str, shorter: str) -> None:
        if not longer.startswith(shorter):
            raise TemplateError(
                f"the chat template of '{self.name}' rewrites earlier turns when the conversation "
                "goes on, so one row cannot train them all; use a prefix-stable training template"
            )

    def _explain_difference(self, whole: str, before: str, own: str) -> NoReturn:
        self._check_prefix(whole, before)
        written = whole[len(before) : len(before) + 60]
        raise TemplateError(
            f"the chat template of '{self.name}' alters an assistant message: "
            f"{own[:60]!r} became {written!r}"
        )
