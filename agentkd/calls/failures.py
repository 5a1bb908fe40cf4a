"""Failed calls by class: what to try again, what ends the episode, what ends the run.

An API says what went wrong in many dialects: the HTTP status, an error code in the body, words in
its message. `failure_of` reads them all and returns one of three things:

- `CallError`, whose `kind` says how to go on: wait and try again, or tell the policy;
- `ProviderRefusedError`, when no call can succeed (key, model name, credit);
- `CallError` of the kind `refused`, when this request is at fault, or all of them are.
"""

import json
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from agentkd.errors import AgentkdError, CallError, ProviderRefusedError

LONGEST_RETRY_AFTER_S = 3600.0
"""A server that asks for more is asked again after this long."""

_CONTEXT = re.compile(
    r"context.{0,3}length|maximum context|context window|exceeds? the (available )?context"
    r"|prompt is too long|too many tokens",
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"content.?(filter|policy|management)|moderation|flagged|safety system", re.IGNORECASE
)
_MODEL = re.compile(
    r"model.{0,80}(not (found|exist|available|supported)|does ?n.t exist|unknown|invalid)"
    r"|(unknown|invalid|no such|not a valid) model",
    re.IGNORECASE | re.DOTALL,
)
_CREDIT = re.compile(
    r"insufficient.{0,3}(quota|balance|credit|funds)|billing|exceeded your current quota",
    re.IGNORECASE,
)


def failure_of(
    status: int, headers: Mapping[str, str], body: str, *, endpoint: str, model: str
) -> AgentkdError:
    """The exception for an HTTP answer that is not a success."""
    code, message = _what_it_says(body)
    said = f"{code} {message}"
    where = f"{endpoint} answered {status}: {message[:300] or 'nothing'}"
    if status == 402 or (status in (403, 429) and _CREDIT.search(said)):
        return ProviderRefusedError(f"the account has no credit left. {where}")
    if status in (425, 429):
        return CallError("rate_limit", where, retry_after_s=retry_after_s(headers))
    if status == 408:
        return CallError("timeout", where)
    if status == 500:
        return CallError("server_error", where)
    if status > 500:
        return CallError("unavailable", where, retry_after_s=retry_after_s(headers))
    if _FILTERED.search(said) and status in (400, 403, 422):
        return CallError("filtered", where)
    if status in (401, 403):
        return ProviderRefusedError(
            f"the key was refused: it is missing, wrong or expired. {where}\n"
            "Put a valid key into the environment variable that teacher.api_key_env names."
        )
    if status in (400, 413, 422) and _CONTEXT.search(said):
        return CallError("context", where)
    if (status in (400, 404, 422) and _MODEL.search(said)) or status == 404:
        return ProviderRefusedError(
            f"there is no model '{model}' at {endpoint}, or the URL is not that of an "
            f"OpenAI-compatible API (most end in /v1). {where}"
        )
    return CallError("refused", where)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait for: `Retry-After` in seconds or as a date."""
    milliseconds = headers.get("retry-after-ms")
    text = headers.get("retry-after")
    try:
        if milliseconds is not None:
            wanted = float(milliseconds) / 1000
        elif text is None:
            return None
        elif text.strip().replace(".", "", 1).isdigit():
            wanted = float(text)
        else:
            wanted = parsedate_to_datetime(text).timestamp() - time.time()
    except ValueError:
        return None
    return min(max(wanted, 0.0), LONGEST_RETRY_AFTER_S)


def _what_it_says(body: str) -> tuple[str, str]:
    """Error code and message of an error body; servers nest them differently."""
    try:
        content: Any = json.loads(body)
    except ValueError:
        return "", " ".join(body.split())
    for key in ("error", "detail", "message"):
        if isinstance(content, dict) and content.get(key):
            content = content[key]
            break
    if isinstance(content, dict):
        code = content.get("code") or content.get("type") or ""
        return str(code), str(content.get("message") or content)
    return "", str(content)
