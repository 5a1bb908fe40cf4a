"""Several servers of one model: each episode stays with one, so that its prefix cache hits.

An episode is given to the server with the fewest episodes. It moves only when its server fails, to
the one that fails least.
"""

import time
from collections.abc import Callable, Sequence

from agentkd.calls.limiter import Limiter


class Endpoint:
    """One server."""

    def __init__(self, url: str, limiter: Limiter) -> None:
        self.url, self.limiter = url, limiter
        self.episodes = 0
        self.failures_in_a_row = 0


class Endpoints:
    """The servers of a run, and when one of them last answered."""

    def __init__(self, urls: Sequence[str], make_limiter: Callable[[], Limiter]) -> None:
        self._all = [Endpoint(url, make_limiter()) for url in urls]
        self.answered_at = time.monotonic()
        self.has_answered = False

    def open(self) -> "Route":
        """A place for one episode."""
        return Route(self)

    def best(self) -> Endpoint:
        """The server that fails least; of those, the one with the fewest episodes."""
        return min(self._all, key=lambda one: (one.failures_in_a_row, one.episodes))

    def succeeded(self, endpoint: Endpoint) -> None:
        """Note that a server answered."""
        endpoint.failures_in_a_row = 0
        self.answered_at = time.monotonic()
        self.has_answered = True

    @property
    def urls(self) -> str:
        """For messages."""
        return ", ".join(endpoint.url for endpoint in self._all)


class Route:
    """Where the calls of one episode go."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self.endpoint = endpoints.best()
        self.endpoint.episodes += 1

    def failed(self) -> None:
        """Note that the server did not answer, and move on if another one is better."""
        self.endpoint.failures_in_a_row += 1
        self.close()
        self.endpoint = self._endpoints.best()
        self.endpoint.episodes += 1

    def close(self) -> None:
        """Give the place back."""
        self.endpoint.episodes -= 1
