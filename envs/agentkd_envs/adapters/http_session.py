"""The client's end of one episode behind HTTP: requests out, JSON in, failures as `EnvError`."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import httpx2

from agentkd_envs.base import nothing_admissible
from agentkd_envs.errors import EnvCrashedError, EnvError


class HttpSession:
    """One connection to one server; it opens with the first `post`."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self.url, self._timeout_s = url.rstrip("/"), timeout_s
        self._client: httpx2.AsyncClient | None = None
        self.id: Any = None
        """The server's name for the episode, None before there is one."""

    def get(self, path: str, **parameters: str | int) -> Any:
        """Ask once, without an episode; raises `EnvError` if nothing answers."""
        try:
            answer = httpx2.get(self.url + path, params=parameters, timeout=self._timeout_s)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise EnvError(
                f"no environment answers at {self.url}: {error or type(error).__name__}; "
                "start one with: agentkd envs serve household --port 8000"
            ) from error
        return self._content(answer)

    async def post(self, verb: str, fields: Mapping[str, Any]) -> Any:
        """Ask for a verb; raises `EnvCrashedError` if the server fails."""
        if self._client is None:
            self._client = httpx2.AsyncClient(timeout=self._timeout_s)
        try:
            answer = await self._client.post(f"{self.url}/{verb}", json=dict(fields))
        except httpx2.HTTPError as error:
            message = f"{self.url}/{verb}: {error or type(error).__name__}"
            raise EnvCrashedError(message) from error
        return self._content(answer)

    async def close(self) -> None:
        """Hang up; calling it twice is fine."""
        client, self._client, self.id = self._client, None, None
        if client is not None:
            await client.aclose()

    def _content(self, answer: httpx2.Response) -> Any:
        try:
            content = answer.json()
        except ValueError:
            content = {"error": f"not JSON: {answer.text[:200]}"}
        if isinstance(content, Mapping) and "error" in content:
            raise EnvCrashedError(f"{answer.url}: {content['error']}")
        if answer.is_error:
            raise EnvCrashedError(f"{answer.url}: status {answer.status_code}")
        return content


def listed(answer: Mapping[str, Any]) -> Callable[[], Sequence[str]]:
    """Admissible actions in the form that observations want them."""
    actions = answer.get("available_actions")
    return nothing_admissible if actions is None else partial(tuple, actions)
