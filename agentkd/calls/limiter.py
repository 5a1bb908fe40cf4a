"""How many calls may be under way at one endpoint, and how fast they may begin.

The limit adapts: each success raises it by 1/limit, so by one per round; a 429 or a timeout halves
it, at most once per round (additive increase, multiplicative decrease; Chiu and Jain 1989, as in
TCP). It begins at its maximum, because most endpoints can serve what the user asked for. Requests
and tokens per minute are spaced evenly, without bursts. `Retry-After` holds back every call to the
endpoint, not only the one that was told.
"""

import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio


class Limiter:
    """Gives out turns. All times are those of a clock that never jumps."""

    def __init__(
        self,
        most: int,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
    ) -> None:
        self.most = most
        self.limit = float(most)
        self.under_way = 0
        self._waiting: deque[anyio.Event] = deque()
        self._s_per_request = 60 / requests_per_minute if requests_per_minute else 0.0
        self._s_per_token = 60 / tokens_per_minute if tokens_per_minute else 0.0
        self._next_request_at = self._next_tokens_at = self._paused_until = 0.0
        self._halved_at = 0.0

    @asynccontextmanager
    async def turn(self, tokens: int) -> AsyncIterator[None]:
        """Wait for a turn for a call that will use about `tokens`, and hold it."""
        while self.under_way >= max(1, int(self.limit)):
            event = anyio.Event()
            self._waiting.append(event)
            try:
                await event.wait()
            except BaseException:
                if event.is_set():
                    self._wake()
                else:
                    self._waiting.remove(event)
                raise
        self.under_way += 1
        try:
            await self._keep_pace(tokens)
            yield
        finally:
            self.under_way -= 1
            self._wake()

    def settle(self, estimated_tokens: int, used_tokens: int) -> None:
        """Replace the estimate of a call's tokens by what it used."""
        self._next_tokens_at += (used_tokens - estimated_tokens) * self._s_per_token

    def widen(self) -> None:
        """Make room for more, after a success."""
        self.limit = min(float(self.most), self.limit + 1 / self.limit)
        self._wake()

    def congested(self, began_at: float) -> None:
        """Halve the limit, unless the call began before it was last halved."""
        if began_at >= self._halved_at:
            self.limit = max(1.0, self.limit / 2)
            self._halved_at = time.monotonic()

    def pause(self, seconds: float) -> None:
        """Let no call begin for that long."""
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)

    def _wake(self) -> None:
        for _ in range(min(len(self._waiting), max(1, int(self.limit)) - self.under_way)):
            self._waiting.popleft().set()

    async def _keep_pace(self, tokens: int) -> None:
        now = time.monotonic()
        begin = max(now, self._next_request_at, self._next_tokens_at)
        self._next_request_at = begin + self._s_per_request
        self._next_tokens_at = begin + tokens * self._s_per_token
        while now < max(begin, self._paused_until):
            await anyio.sleep(max(begin, self._paused_until) - now)
            now = time.monotonic()
