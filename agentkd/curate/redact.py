r"""Takes secrets and personal traces out of trajectories before they leave the machine.

Every string of a record is searched, wherever it stands: prompts, texts, observations, candidates,
task payloads, errors, and the keys of mappings. What is found is replaced and counted by kind:

    private key      a PEM block
    API key          keys whose issuer marks them: OpenAI, Anthropic, Hugging Face, GitHub, AWS, ...
    token            bearer and basic credentials, JSON web tokens
    password         passwords in URLs, and values given to names such as api_key, secret, password
    e-mail           addresses; the user of a Git URL is none
    home folder      /home/NAME, /Users/NAME, C:\Users\NAME: NAME becomes `user`
    user name        the name of whoever runs this, as a word of its own
    private host     addresses of private networks, names of internal hosts in URLs, this machine

Where a step's text or reasoning changed, its token ids and log-probabilities go, since they spell
the same text. A task whose payload changed has another id than before.

A list of patterns finds only what it knows: a password in running text, a customer's name or a key
of 32 plain hex digits stays. Read what you publish. detect-secrets and its kin look for lines of
source code and take hashes for secrets, which trajectories are full of; hence a list of our own.
"""

import getpass
import json
import re
import socket
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from agentkd.trajectory import Trajectory

_START = r"(?:(?<![A-Za-z0-9_])|(?<=\\[nrt]))"
"""Where a word begins, also behind a line break that was escaped in JSON inside of a text."""

_GENERIC_NAME = re.compile(
    "admin|administrator|agent|app|build|builder|ci|coder|default|developer|docker|guest|home|"
    "jenkins|jovyan|linux|localhost|node|nobody|public|root|runner|sandbox|server|shared|student|"
    "system|teacher|test|tester|ubuntu|user|vagrant|worker|workspace",
    re.IGNORECASE,
)
"""Names of users, folders and hosts that say nothing about anyone; they stay."""

_MARK = "[redacted {}]"

TEXTS_REMEMBERED = 1 << 14
"""Texts of which it is remembered what to look for in them; worlds repeat themselves."""


@dataclass(frozen=True)
class Pattern:
    """What one kind of secret looks like."""

    kind: str
    clues: tuple[str, ...]
    """A text without any of these, in lower case, cannot match and is not searched."""
    pattern: re.Pattern[str]
    replacement: str
    """As `re.Match.expand` takes it."""


def _pattern(kind: str, clues: str, pattern: str, replacement: str | None = None) -> Pattern:
    return Pattern(
        kind, tuple(clues.split()), re.compile(pattern), replacement or _MARK.format(kind)
    )


_API_KEYS = {
    "sk-": r"sk-(?=[\w-]*\d)[\w-]{20,}",
    "hf_": r"hf_[A-Za-z0-9]{30,}",
    "ghp_ gho_ ghu_ ghs_ ghr_": r"gh[pousr]_[A-Za-z0-9]{36,}",
    "github_pat_": r"github_pat_\w{50,}",
    "glpat-": r"glpat-[\w-]{20,}",
    "akia": r"AKIA[A-Z0-9]{16}",
    "asia": r"ASIA[A-Z0-9]{16}",
    "aiza": r"AIza[\w-]{35}",
    "ya29.": r"ya29\.[\w-]{20,}",
    "xox": r"xox[abeoprs]-[\w-]{10,}",
    "hooks.slack": r"hooks\.slack\.com/services/[\w/]{20,}",
    "k_live_": r"[prs]k_live_\w{16,}",
    "k_test_": r"[prs]k_test_\w{16,}",
    "npm_": r"npm_[A-Za-z0-9]{36}",
    "pypi-": r"pypi-[\w-]{50,}",
    "gsk_": r"gsk_[A-Za-z0-9]{32,}",
    "xai-": r"xai-[A-Za-z0-9]{32,}",
    "r8_": r"r8_[A-Za-z0-9]{32,}",
    "nvapi-": r"nvapi-[\w-]{32,}",
    "pplx-": r"pplx-[A-Za-z0-9]{32,}",
    "csk-": r"csk-[a-z0-9]{32,}",
    "fw_": r"fw_[A-Za-z0-9]{20,}",
    "lsv2_": r"lsv2_(?:pt|sk)_\w{32,}",
    "tvly-": r"tvly-[\w-]{20,}",
    "sg.": r"SG\.[\w-]{16,}\.[\w-]{16,}",
    "dop_v1_": r"dop_v1_[a-f0-9]{64}",
}
"""Clues and form of the keys that say whose they are."""

_SECRET_NAME = r"(?i:api[_-]?key|secret(?:[_-]?(?:access)?[_-]?key)?|token|passwo?r?d|passwd)"
_SECRET_VALUE = r"(?=[^\s\"'\\]*\d)(?=[^\s\"'\\]*[A-Za-z])[A-Za-z0-9_\-.+/=!@#$%^&*~]{12,}"
_INTERNAL = r"(?:internal|intranet|private|corp|lan|local|localdomain|home\.arpa)"
_BYTE = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_ADDRESS = rf"(?:10\.{_BYTE}|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.{_BYTE}\.{_BYTE}"

_KNOWN: tuple[Pattern, ...] = (
    _pattern(
        "private key",
        "-----begin",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
        r"(?:[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----|(?:[A-Za-z0-9+/=\s]|\\[nr])*)",
    ),
    *(_pattern("API key", clue, _START + form) for clue, form in _API_KEYS.items()),
    _pattern("token", "eyj", _START + r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"),
    _pattern(
        "token",
        "bearer basic",
        r"(\b(?i:bearer|basic)\s+)(?=[\w.~+/=-]*\d)[\w.~+/=-]{16,}",
        r"\1" + _MARK.format("token"),
    ),
    _pattern(
        "password",
        "://",
        r"(\b[a-z][a-z0-9+.-]*://[^\s/:@\"']*:)[^\s/@\"']+(?=@)",
        r"\1" + _MARK.format("password"),
    ),
    _pattern(
        "password",
        "key secret token pass",
        rf"((?:\b|_){_SECRET_NAME}\b\\?[\"']?\s*(?:=>|[:=])\s*\\?[\"']?){_SECRET_VALUE}",
        r"\1" + _MARK.format("password"),
    ),
    _pattern(
        "e-mail",
        "@",
        r"(?<![\w.%+-])(?!git@)[\w.%+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}(?![\w(])",
    ),
    _pattern("home folder", "home", r"(/home/)([^\s/\"'\\:,;)<>|]+)", r"\1user"),
    _pattern("home folder", "users", r"(/Users/)([^\s/\"'\\:,;)<>|]+)", r"\1user"),
    _pattern(
        "home folder", "users", r"(\b[A-Za-z]:\\{1,2}Users\\{1,2})([^\s/\"'\\:,;)<>|]+)", r"\1user"
    ),
    _pattern(
        "private host",
        "://",
        rf"(://(?:[^\s/@\"']*@)?)((?:[A-Za-z0-9-]+\.)*[A-Za-z0-9-]+\.{_INTERNAL})(?![\w.-])",
        r"\1private-host",
    ),
    _pattern(
        "private host",
        "://",
        r"(://(?:[^\s/@\"']*@)?)(?!localhost\b)([A-Za-z][A-Za-z0-9-]*)(?=:\d{2,5}\b)",
        r"\1private-host",
    ),
    _pattern(
        "private host", "10. 192.168. 172.", rf"(?<![\w.]){_ADDRESS}(?!\.?\w)", "private-host"
    ),
)


class Redactor:
    """Redacts texts and whole trajectories; `counts` says how many of each kind were replaced."""

    def __init__(self, user: str | None = None, host: str | None = None) -> None:
        """Whose traces to look for besides those of the known forms: by default whoever runs this,
        on this machine.
        """
        self.counts: Counter[str] = Counter()
        user = _user() if user is None else user
        host = socket.gethostname() if host is None else host
        patterns = [
            *_KNOWN,
            *_named("private host", host, "private-host"),
            *_named("user name", user, "user"),
        ]
        self._clues = [(clue, one) for one in patterns for clue in one.clues]
        self._suspects = lru_cache(TEXTS_REMEMBERED)(self._look_for_clues)

    def text(self, text: str) -> str:
        """Redact one text."""
        for one in self._suspects(text):
            text = one.pattern.sub(partial(self._replace, one), text)
        return text

    def _look_for_clues(self, text: str) -> tuple[Pattern, ...]:
        lowered = text.lower()
        return tuple(dict.fromkeys(one for clue, one in self._clues if clue in lowered))

    def __call__(self, trajectory: Trajectory) -> Trajectory:
        """Redact a trajectory; one that holds nothing to redact is returned as it is."""
        before = sum(self.counts.values())
        record = self._value(json.loads(trajectory.to_json()))
        if sum(self.counts.values()) == before:
            return trajectory
        redacted = Trajectory.from_json(json.dumps(record))
        return replace(
            redacted,
            steps=tuple(
                new
                if (new.text, new.reasoning) == (old.text, old.reasoning)
                else replace(new, token_ids=None, logprobs=None)
                for new, old in zip(redacted.steps, trajectory.steps, strict=True)
            ),
        )

    def all(self, trajectories: Iterable[Trajectory]) -> Iterator[Trajectory]:
        """Stream trajectories through."""
        return map(self, trajectories)

    def _replace(self, one: Pattern, match: re.Match[str]) -> str:
        replaced = match.expand(one.replacement)
        name = match.group(match.lastindex or 0)
        if replaced == match.group() or (
            one.kind == "home folder" and _GENERIC_NAME.fullmatch(name)
        ):
            return match.group()
        self.counts[one.kind] += 1
        return replaced

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self._value(inner) for inner in value]
        if isinstance(value, dict):
            redacted: dict[str, Any] = {}
            for key, inner in value.items():
                name = self.text(key)
                while name in redacted:
                    name += "'"
                redacted[name] = self._value(inner)
            return redacted
        return value


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return Path.home().name


def _named(kind: str, name: str, replacement: str) -> list[Pattern]:
    """Find a name as a word of its own, unless it is short or says nothing about anyone."""
    if len(name) < 4 or _GENERIC_NAME.fullmatch(name):
        return []
    form = rf"(?<![\w-]){re.escape(name)}(?![\w-])"
    return [Pattern(kind, (name.lower(),), re.compile(form), replacement)]
