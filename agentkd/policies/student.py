"""A local model as a policy: all live episodes are decoded as one batch.

Prompts are rendered by the same code as training rows (`agentkd.train.labels`), and an episode's KV
cache is kept between its turns. An answer's tokens stay in the cache as they were written; if a
template would render them differently (it strips a space, say), the row is read anew from the
rendered text.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import anyio
import torch
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from agentkd.policies.base import Conversation, EpisodeContext, Reply
from agentkd.students.decoder import BatchedDecoder, Row, Sampling
from agentkd.train.labels import ChatRenderer
from agentkd.trajectory import Author, PolicyInfo, Usage

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class StudentActor:
    """One episode of a local model: a row of the decoder's cache, or one per candidate."""

    def __init__(self, policy: "StudentPolicy", seed: int) -> None:
        self._policy = policy
        self._rows: list[tuple[Row, str]] = [(policy.decoder.open(), "")]
        """Rows that the conversation may go on from, and the rendered text that each has read."""
        self._seed = seed

    async def act(self, conversation: Conversation) -> Reply:
        """Read what is new in the conversation and write an answer, or several candidates.

        A conversation whose last message is the assistant's is continued.
        """
        policy, renderer = self._policy, self._policy.renderer
        messages = conversation.messages
        prefix = messages[-1].content if messages[-1].role == "assistant" else ""
        context = renderer.render(messages[:-1] if prefix else messages, generate=True)
        row, read = self._going_on_from(context)
        cached = row.length
        tokens = renderer.encode(context[len(read) :])
        if prefix:
            tokens += renderer.encode(prefix)
        if not policy.decoder.fits(row, tokens, policy.sampling.max_new_tokens):
            return Reply("", policy.author, is_context_full=True)
        prompt_tokens = cached + len(row.pending) + len(tokens)
        writers = [row, *(policy.decoder.open() for _ in range(policy.n - 1))]
        self._rows = [(writer, "") for writer in writers]
        await policy.answer(writers, tokens, self._seed)
        self._seed += 1
        candidates = [self._written(writer, prefix) for writer in writers]
        self._rows = [
            (writer, context + one.text + (renderer.end_of_turn if one.is_complete else ""))
            for writer, one in zip(writers, candidates, strict=True)
        ]
        first = candidates[0]
        return Reply(
            text=first.text,
            author=policy.author,
            token_ids=first.token_ids,
            logprobs=first.logprobs,
            candidates=tuple(one.record() for one in candidates) if policy.n > 1 else (),
            usage=Usage(
                prompt_tokens, sum(len(writer.written) for writer in writers), cached_tokens=cached
            ),
            finish_reason=first.finish_reason,
        )

    def _going_on_from(self, context: str) -> tuple[Row, str]:
        """The row that has read the most of the context; the others are given back."""
        fitting = [entry for entry in self._rows if context.startswith(entry[1])]
        kept, read = max(fitting or self._rows[:1], key=lambda entry: len(entry[1]))
        for row, _ in self._rows:
            if row is not kept:
                self._policy.decoder.close(row)
        if not fitting:
            self._policy.decoder.rewind(kept)
            read = ""
        self._rows = [(kept, read)]
        return kept, read

    def _written(self, row: Row, prefix: str) -> "_Written":
        is_complete = row.finish_reason == "stop"
        own = row.written[:-1] if is_complete else row.written
        return _Written(
            prefix + self._policy.renderer.decode(own),
            tuple(row.written),
            tuple(round(value, 5) for value in row.logprobs),
            row.finish_reason,
            is_complete,
        )

    async def close(self) -> None:
        """Give the rows back."""
        for row, _ in self._rows:
            self._policy.decoder.close(row)
        self._rows = []


@dataclass(frozen=True)
class _Written:
    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: str
    is_complete: bool

    def record(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "token_ids": self.token_ids,
            "logprobs": self.logprobs,
            "finish_reason": self.finish_reason,
        }


class StudentPolicy:
    """Plays with a local causal language model. Use it as an async context manager."""

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        *,
        name: str,
        author: Author = "student",
        sampling: Sampling | None = None,
        max_context: int | None = None,
    ) -> None:
        self.sampling = sampling or Sampling()
        self.n = 1
        """Candidates per reply."""
        self.author = author
        self.renderer = ChatRenderer(tokenizer)
        self.decoder = BatchedDecoder(model, max_context)
        self._name, self._model_name = name, str(model.config.name_or_path or name)
        self._answers: dict[int, anyio.Event] = {}
        self._work = anyio.Event()
        self._tasks: TaskGroup | None = None

    @property
    def info(self) -> PolicyInfo:
        """The model and how it samples."""
        sampling = {
            "temperature": self.sampling.temperature,
            "top_p": self.sampling.top_p,
            "max_new_tokens": self.sampling.max_new_tokens,
        }
        several = {"n": self.n} if self.n > 1 else {}
        dtype = self.decoder.model.dtype
        rounded = {} if dtype == torch.float32 else {"dtype": str(dtype).removeprefix("torch.")}
        return PolicyInfo(
            self.author,
            self._name,
            model=self._model_name,
            sampling={**sampling, **several, **rounded},
        )

    def with_candidates(self, n: int, temperature: float, top_p: float) -> "StudentPolicy":
        """The same model, which reads each prompt once and writes `n` candidates."""
        policy = copy(self)
        policy.n = n
        policy.sampling = replace(self.sampling, temperature=temperature, top_p=top_p)
        return policy

    def check_continuation(self, prefix: str) -> None:
        """Any text can be continued: the conversation is rendered here."""

    async def begin(self, episode: EpisodeContext) -> StudentActor:
        """Take a row of the cache."""
        return StudentActor(self, episode.seed)

    async def answer(self, writers: Sequence[Row], tokens: list[int], seed: int) -> None:
        """Wait until the first row has read `tokens` and all rows have written their answers."""
        done = [anyio.Event() for _ in writers]
        self._answers |= {id(row): event for row, event in zip(writers, done, strict=True)}
        row, *copies = writers
        stop = self.renderer.end_of_turn_id
        self.decoder.submit(row, tokens, self.sampling, stop, seed, copies)
        self._work.set()
        for event in done:
            await event.wait()

    async def _decode(self) -> None:
        while True:
            if not self.decoder.has_work:
                self._work = anyio.Event()
                await self._work.wait()
            for row in self.decoder.step():
                self._answers.pop(id(row)).set()
            await checkpoint()

    async def __aenter__(self) -> Self:
        """Start the decoding loop."""
        self._tasks = await anyio.create_task_group().__aenter__()
        self._tasks.start_soon(self._decode)
        return self

    async def __aexit__(self, *error: Any) -> bool | None:
        """Stop the decoding loop."""
        assert self._tasks is not None
        self._tasks.cancel_scope.cancel()
        return await self._tasks.__aexit__(*error)
