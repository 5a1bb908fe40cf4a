"""Makes a model continue a text that stands in its mouth already, exactly as it stands.

A chat API has no certain way to do that: some servers take the flag `continue_final_message`, some
ignore it and begin a new message, and many chat templates strip the white space that the text ends
with. So the conversation is rendered here too, with the model's own tokenizer, and what the server
was told must be what is logged:

- `token_ids`, `text`: the rendered conversation goes to `/completions`, as token ids (vLLM, SGLang,
  llama.cpp) or as text (`transformers serve`, Ollama). Whatever the template does, the prompt ends
  with the prefix byte for byte.
- `continue_final_message`: goes to `/chat/completions` (vLLM, SGLang). The template must keep the
  prefix as it is, and the server must count as many prompt tokens as the rendering has.
- `refuse`: there is no continuation.

Whatever cannot be made certain is refused with `ContinuationError`.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from agentkd.errors import ContinuationError
from agentkd.trajectory import Message

if TYPE_CHECKING:
    from agentkd.train.labels import ChatRenderer

ContinuationMode = Literal["refuse", "continue_final_message", "token_ids", "text"]


class Continuation:
    """Renders conversations whose last message is to be continued. `tokenizer` is loaded late."""

    def __init__(self, mode: ContinuationMode = "refuse", tokenizer: str | None = None) -> None:
        self.mode = mode
        self._tokenizer = tokenizer
        if mode != "refuse" and tokenizer is None:
            raise ContinuationError(
                f"teacher.continuation '{mode}' needs the tokenizer of the model, to render what "
                "the server will see: set teacher.tokenizer to a folder or a Hub id"
            )

    @cached_property
    def renderer(self) -> "ChatRenderer":
        """The chat template of the model; raises `ContinuationError` if it cannot be loaded."""
        from transformers import AutoTokenizer

        from agentkd.train.labels import ChatRenderer

        try:
            return ChatRenderer(AutoTokenizer.from_pretrained(self._tokenizer))
        except (OSError, ValueError) as error:
            raise ContinuationError(
                f"cannot load teacher.tokenizer '{self._tokenizer}': {error}"
            ) from error

    @property
    def uses_completions(self) -> bool:
        """Whether the rendered prompt goes to `/completions`."""
        if self.mode == "refuse":
            raise ContinuationError(
                "this teacher is not set up to continue a message. Set teacher.continuation to "
                "token_ids or continue_final_message (vLLM, SGLang) or to text (transformers "
                "serve, Ollama), and teacher.tokenizer to the model's tokenizer."
            )
        return self.mode in ("token_ids", "text")

    def rendered(self, messages: Sequence[Message]) -> str:
        """The prompt up to the end of the last message's text, as the model reads it."""
        return self.renderer.render(messages[:-1], generate=True) + messages[-1].content

    def prompt(self, messages: Sequence[Message]) -> str | list[int]:
        """What `/completions` gets."""
        text = self.rendered(messages)
        if self.mode == "token_ids":
            return self.renderer.encode(text)
        tokenizer = self.renderer.tokenizer
        start = str(tokenizer.bos_token or "")
        adds_start = bool(start) and tokenizer.encode("x")[:1] == [tokenizer.bos_token_id]
        return text.removeprefix(start) if adds_start else text

    def check_template(self, messages: Sequence[Message]) -> None:
        """Raise `ContinuationError` if the template would alter the last message."""
        try:
            seen = self.renderer.tokenizer.apply_chat_template(
                [{"role": message.role, "content": message.content} for message in messages],
                tokenize=False,
                continue_final_message=True,
            )
        except ValueError as error:
            raise ContinuationError(f"the chat template refuses to continue: {error}") from error
        wanted = self.rendered(messages)
        if seen != wanted:
            raise ContinuationError(
                f"the chat template of '{self.renderer.name}' alters the text that is to be "
                f"continued: it ends with {str(seen)[-40:]!r} instead of {wanted[-40:]!r}. Set "
                "teacher.continuation to token_ids or text, which bypass the template."
            )

    def check_prompt_tokens(self, messages: Sequence[Message], counted: int) -> None:
        """Raise `ContinuationError` if the server read another prompt than the rendered one."""
        expected = len(self.renderer.encode(self.rendered(messages)))
        if counted and counted != expected:
            raise ContinuationError(
                f"the server read {counted} prompt tokens where the prompt with the text to "
                f"continue has {expected}: it ignores {self.mode}, or teacher.tokenizer is not "
                "the tokenizer of its model. Set teacher.continuation to token_ids or text."
            )
