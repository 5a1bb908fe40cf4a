"""Decodes many live episodes as one batch, each with a KV cache that lives as long as the episode.

Every episode holds one row of a cache in which *column index equals token position*. Rows differ in
length, so a query at position p may attend to the columns up to p and nothing else; that one rule
also hides the padding of a batch, because padding is written behind a row's end, where the next
real tokens overwrite it before anything can see them. A turn therefore costs its own tokens only:
nothing of the conversation is computed twice, and no row waits for a longer one to be padded.

`step` does one forward pass: either the new tokens of the rows that wait for an answer, or one
token for every row that is writing. New tokens go first once half of the live rows wait for them.

Works for decoder-only models whose layers all attend to the whole context; `check_supported`
refuses others (sliding windows, recurrent layers) by name. Not done here: beam search, speculative
decoding, paging to disk.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

from agentkd.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


PREFILL_ROWS = 32
"""Rows that read their prompts in one forward pass, so that memory stays bounded."""

SEEDS_APART = 1_000_003
"""Between the seeds of several answers to one prompt."""


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen."""

    max_new_tokens: int = 64
    temperature: float = 0.0
    """0 takes the most likely token."""
    top_p: float = 1.0


@dataclass
class Row:
    """One episode in the cache. Belongs to the decoder; callers only hold it."""

    slot: int
    length: int = 0
    """Tokens in the cache."""
    pending: list[int] = field(default_factory=list)
    """Tokens that are not yet in the cache."""
    written: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    sampling: Sampling = Sampling()
    stop_id: int = -1
    generator: torch.Generator | None = None
    is_busy: bool = False
    finish_reason: str = ""
    copies: "list[Row]" = field(default_factory=list)
    """Rows that will write further answers to the prompt that this row reads."""
    waits_for_copy: bool = False

    @property
    def is_prefill(self) -> bool:
        """True while the row waits for its prompt to be read."""
        return self.is_busy and not self.written and not self.waits_for_copy


class _RaggedLayer(DynamicLayer):
    """Keys and values of one layer, [slots, heads, columns, head size]."""

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, view: "_BatchView") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._view = view

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new columns at each row's own positions; return each row's columns so far."""
        view = self._view
        if not self.is_initialized:
            self.keys = key_states.new_empty(0, key_states.shape[1], 0, key_states.shape[3])
            self.values = value_states.new_empty(0, value_states.shape[1], 0, value_states.shape[3])
            self.is_initialized = True
        if self.keys.shape[0] < view.slots or self.keys.shape[2] < view.columns:
            self.keys = _grown(self.keys, view)
            self.values = _grown(self.values, view)
        self.keys[view.rows[:, None], :, view.positions] = key_states.transpose(1, 2)
        self.values[view.rows[:, None], :, view.positions] = value_states.transpose(1, 2)
        rows: Any = slice(0, len(view.rows)) if view.is_contiguous else view.rows
        return self.keys[rows, :, : view.used], self.values[rows, :, : view.used]

    def move(self, source: int, target: int, length: int) -> None:
        """Copy a row to another slot."""
        if self.is_initialized:
            self.keys[target, :, :length] = self.keys[source, :, :length]
            self.values[target, :, :length] = self.values[source, :, :length]


def _grown(old: torch.Tensor, view: "_BatchView") -> torch.Tensor:
    new = old.new_zeros(view.slots, old.shape[1], view.columns, old.shape[3])
    new[: old.shape[0], :, : old.shape[2]] = old[:, :, : view.columns]
    return new


@dataclass
class _BatchView:
    """Where the current forward pass reads and writes; shared by all layers."""

    slots: int = 0
    columns: int = 0
    rows: torch.Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    positions: torch.Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.long))
    used: int = 0
    is_contiguous: bool = False


def check_supported(model: "PreTrainedModel") -> None:
    """Raise `ConfigError` if some layer does not attend to the whole context."""
    config = model.config.get_text_config(decoder=True)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None) if not hasattr(config, "layer_types") else None
    if kinds != {"full_attention"} or window:
        raise ConfigError(
            f"'{config.model_type}' has layers that do not attend to the whole context "
            f"({', '.join(sorted(kinds))}); serve it with vLLM and use an endpoint instead"
        )


class BatchedDecoder:
    """A causal language model and the caches of the episodes that it plays."""

    def __init__(self, model: "PreTrainedModel", max_context: int | None = None) -> None:
        check_supported(model)
        self.model = model
        model.train(False)
        config = model.config.get_text_config(decoder=True)
        self.max_context = max_context or int(config.max_position_embeddings)
        self._view = _BatchView()
        self._layers = [_RaggedLayer(self._view) for _ in range(config.num_hidden_layers)]
        self._cache = Cache(layers=[*self._layers])
        self._rows: list[Row] = []
        """Live rows; the row at index i has slot i."""

    @property
    def has_work(self) -> bool:
        """True if some row has something to read or to write."""
        return any(row.is_busy for row in self._rows)

    @property
    def live(self) -> int:
        """Rows in the cache."""
        return len(self._rows)

    def open(self) -> Row:
        """Take a row for a new episode."""
        row = Row(slot=len(self._rows))
        self._rows.append(row)
        if len(self._rows) > self._view.slots:
            self._view.slots = max(8, 2 * self._view.slots)
        return row

    @torch.inference_mode()
    def close(self, row: Row) -> None:
        """Give a row back; the last row takes its slot, so that live rows stay adjacent."""
        last = self._rows.pop()
        if last is not row:
            for layer in self._layers:
                layer.move(last.slot, row.slot, last.length)
            last.slot = row.slot
            self._rows[row.slot] = last

    def fits(self, row: Row, tokens: Sequence[int], max_new_tokens: int) -> bool:
        """Whether a turn fits the context."""
        return row.length + len(row.pending) + len(tokens) + max_new_tokens <= self.max_context

    def submit(
        self,
        row: Row,
        tokens: Sequence[int],
        sampling: Sampling,
        stop_id: int,
        seed: int,
        copies: Sequence[Row] = (),
    ) -> None:
        """Let a row read `tokens` and write an answer; `step` until `row.is_busy` is false.

        Then `row.written` and `row.logprobs` hold the answer, its stop token included if there is
        one. `copies` are fresh rows that write further answers to the same prompt, which is read
        once; each of them is busy until its own answer is written.
        """
        row.pending += tokens
        row.copies = list(copies)
        for number, writer in enumerate([row, *copies]):
            writer.written, writer.logprobs = [], []
            writer.sampling, writer.stop_id = sampling, stop_id
            writer.is_busy, writer.finish_reason = True, ""
            writer.waits_for_copy = writer is not row
            if sampling.temperature > 0:
                writer.generator = torch.Generator().manual_seed(seed + number * SEEDS_APART)

    def rewind(self, row: Row) -> None:
        """Forget everything that the row has read."""
        row.length, row.pending = 0, []

    @torch.inference_mode()
    def step(self) -> list[Row]:
        """Do one forward pass for the rows that have work; return the rows that are done."""
        waiting = [row for row in self._rows if row.is_prefill]
        writing = [row for row in self._rows if row.is_busy and row.written]
        wanting = sum(1 + len(row.copies) for row in waiting)
        if waiting and (not writing or 2 * wanting >= len(self._rows)):
            done = []
            for begin in range(0, len(waiting), PREFILL_ROWS):
                group = waiting[begin : begin + PREFILL_ROWS]
                done += self._choose(group, self._forward(group, group))
            return done
        if writing:
            return self._choose(writing, self._forward(self._rows, writing))
        return []

    def _forward(self, rows: list[Row], readers: list[Row]) -> torch.Tensor:
        """Run `readers` over their pending tokens; return the last logits of each, [readers,
        vocab].

        `rows` are the readers, or all live rows in slot order, so that the cache is read in place;
        a row that is no reader then gets a padding token, which leaves no trace.
        """
        device = self.model.device
        reading = {id(row) for row in readers}
        pending = [row.pending if id(row) in reading else [] for row in rows]
        width = max(len(tokens) for tokens in pending)
        starts = torch.tensor([row.length for row in rows])
        positions = starts[:, None] + torch.arange(width)[None]
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        for index, tokens in enumerate(pending):
            ids[index, : len(tokens)] = torch.tensor(tokens, dtype=torch.long)
        view = self._view
        view.used = int(starts.max()) + width
        if view.used > view.columns:
            view.columns = 256 * math.ceil(1.25 * view.used / 256)
        view.rows = torch.tensor([row.slot for row in rows], device=device)
        view.positions = positions.to(device)
        view.is_contiguous = len(rows) == len(self._rows)
        mask = torch.arange(view.used)[None, None] <= positions[:, :, None]
        chosen = torch.tensor([index for index, row in enumerate(rows) if id(row) in reading])
        last = torch.tensor([len(pending[index]) - 1 for index in chosen.tolist()])
        kept, place = torch.unique(last, return_inverse=True)
        logits: torch.Tensor = self.model(
            input_ids=ids.to(device),
            attention_mask=self._as_mask(mask[:, None].to(device)),
            position_ids=view.positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=kept.to(device),
        ).logits
        for row in readers:
            row.length += len(row.pending)
            row.pending = []
        return logits[chosen.to(device), place.to(device)].float()

    def _as_mask(self, allowed: torch.Tensor) -> torch.Tensor:
        """What the model's attention takes: eager attention adds its mask to the scores."""
        config: Any = self.model.config.get_text_config(decoder=True)
        if config._attn_implementation != "eager":
            return allowed
        dtype = self.model.dtype
        return torch.where(allowed, 0.0, torch.finfo(dtype).min).to(dtype)

    def _choose(self, rows: list[Row], logits: torch.Tensor) -> list[Row]:
        if any(row.copies for row in rows):
            rows, logits = self._with_copies(rows, logits)
        logprobs = torch.log_softmax(logits, dim=-1).cpu()
        greedy = logprobs.argmax(dim=-1).tolist()
        for row, likely, distribution in zip(rows, greedy, logprobs, strict=True):
            token = likely if row.sampling.temperature == 0 else _sample(distribution, row)
            row.written.append(token)
            row.logprobs.append(float(distribution[token]))
            row.pending = [token]
            if token == row.stop_id:
                row.is_busy, row.finish_reason = False, "stop"
            elif len(row.written) >= row.sampling.max_new_tokens:
                row.is_busy, row.finish_reason = False, "length"
        return [row for row in rows if not row.is_busy]

    def _with_copies(self, rows: list[Row], logits: torch.Tensor) -> tuple[list[Row], torch.Tensor]:
        """Give the copies of rows that have read their prompts the same place to write from."""
        writers: list[Row] = []
        source: list[int] = []
        for index, row in enumerate(rows):
            copies, row.copies = row.copies, []
            for copy in copies:
                for layer in self._layers:
                    layer.move(row.slot, copy.slot, row.length)
                copy.length, copy.waits_for_copy = row.length, False
            writers += [row, *copies]
            source += [index] * (1 + len(copies))
        return writers, logits[torch.tensor(source, device=logits.device)]


def _sample(logprobs: torch.Tensor, row: Row) -> int:
    """Draw from the tempered distribution, cut to the smallest set of mass `top_p`."""
    probabilities = torch.softmax(logprobs / row.sampling.temperature, dim=-1)
    if row.sampling.top_p < 1:
        ordered, order = probabilities.sort(descending=True)
        outside = ordered.cumsum(0) - ordered >= row.sampling.top_p
        probabilities = probabilities.clone()
        probabilities[order[outside]] = 0
    return int(torch.multinomial(probabilities, 1, generator=row.generator))
