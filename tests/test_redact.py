"""Redaction: every known form goes and is counted; ordinary text stays as it is."""

import json
from dataclasses import replace

import pytest
from agentkd_envs import Task

from agentkd.curate.redact import Redactor
from agentkd.policies.mistakes import ErringExpertPolicy
from agentkd.trajectory import Message, Trajectory

LETTERS = "abcdEFGH0123ijklMNOP4567qrstUVWX89zy"
"""36 characters that no one issued."""

KEYS = [
    f"sk-proj-{LETTERS}",
    f"sk-ant-api03-{LETTERS}-x_y",
    f"sk-or-v1-{LETTERS}",
    f"hf_{LETTERS}",
    f"ghp_{LETTERS}",
    f"github_pat_{LETTERS}_{LETTERS}",
    f"glpat-{LETTERS[:20]}",
    "AKIA" + "ABCDEFGH12345678",
    f"AIza{LETTERS[:35]}",
    "xoxb-" + "1234567890-abcdef",
    f"sk_live_{LETTERS[:24]}",
    f"npm_{LETTERS}",
    f"gsk_{LETTERS}",
    f"xai-{LETTERS}",
    f"nvapi-{LETTERS}",
    f"tvly-dev-{LETTERS}",
]

SECRETS = [
    *(
        ("API key", f"key {key}.", f"key {{}}{'.' if not key.endswith('.') else ''}")
        for key in KEYS
    ),
    ("token", f"Authorization: Bearer {LETTERS}", "Authorization: Bearer {}"),
    ("token", f"authorization: basic {LETTERS[:20]}==", "authorization: basic {}"),
    ("token", "jwt eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeK ok", "jwt {} ok"),
    ("password", "postgres://bob:s3cret@db.example.com/x", "postgres://bob:{}@db.example.com/x"),
    ("password", f'{{"api_key": "{LETTERS}"}}', '{{"api_key": "{}"}}'),
    ("password", f'"{{\\"OPENAI_API_KEY\\": \\"{LETTERS}\\"}}"', None),
    ("password", f"export AWS_SECRET_ACCESS_KEY={LETTERS}/+", "export AWS_SECRET_ACCESS_KEY={}"),
    ("password", "password: hunter2hunter2", "password: {}"),
    ("e-mail", "write to jane.doe+x@mail.example.org, please", "write to {}, please"),
]


def redactor() -> Redactor:
    return Redactor(user="jdoe42", host="gpu-box-7")


@pytest.mark.parametrize(("kind", "text", "expected"), SECRETS)
def test_a_secret_is_replaced_and_counted(kind: str, text: str, expected: str | None) -> None:
    redact = redactor()
    cleaned = redact.text(text)
    assert dict(redact.counts) == {kind: 1}
    if expected is not None:
        assert cleaned == expected.format(f"[redacted {kind}]")
    assert LETTERS not in cleaned
    assert redact.text(cleaned) == cleaned


@pytest.mark.parametrize(
    ("text", "expected", "kind"),
    [
        ("open /home/jane/work/a.txt", "open /home/user/work/a.txt", "home folder"),
        ('"/Users/Jane Doe/x"', '"/Users/user Doe/x"', "home folder"),
        (r"C:\Users\jane\x", r"C:\Users\user\x", "home folder"),
        (r"C:\\Users\\jane\\x", r"C:\\Users\\user\\x", "home folder"),
        ("jdoe42@: whoami -> jdoe42", "user@: whoami -> user", "user name"),
        ("http://llm.corp/v1", "http://private-host/v1", "private host"),
        ("https://a.b.internal:8443/x", "https://private-host:8443/x", "private host"),
        ("http://vllm-node:8000/v1", "http://private-host:8000/v1", "private host"),
        ("ssh 192.168.1.17", "ssh private-host", "private host"),
        ("at 10.1.20.3:80 now", "at private-host:80 now", "private host"),
        ("on gpu-box-7:", "on private-host:", "private host"),
    ],
)
def test_traces_of_people_and_machines_become_neutral(text: str, expected: str, kind: str) -> None:
    redact = redactor()
    assert redact.text(text) == expected
    assert set(redact.counts) == {kind}


@pytest.mark.parametrize("ending", ["\n-----END RSA PRIVATE KEY-----\nafter", "", "\\nQQ=="])
def test_a_private_key_goes_whole_even_if_cut_off(ending: str) -> None:
    redact = redactor()
    text = f"-----BEGIN RSA PRIVATE KEY-----\nMIIE{LETTERS}\n{LETTERS}{ending}"
    cleaned = redact.text(text)
    assert cleaned.startswith("[redacted private key]")
    assert LETTERS not in cleaned
    assert cleaned.endswith("after") == ending.endswith("after")


def test_a_key_behind_an_escaped_line_break_is_found() -> None:
    redact = redactor()
    assert redact.text(json.dumps(f"a\nhf_{LETTERS}")) == '"a\\n[redacted API key]"'


@pytest.mark.parametrize(
    "text",
    [
        "take mug 1 from desk 1, then heat mug 1 with microwave 1",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "id 0b9b0ab14f0d4d3aa9a164f2548a0cb7, commit 30e7961",
        "550e8400-e29b-41d4-a716-446655440000",
        "max_tokens: 4096, token_ids = tokenizer.encode(text)",
        "the secret: a key is in the drawer; the password is somewhere",
        'api_key = os.environ["OPENAI_API_KEY"]',
        "git clone git@github.com:org/repo.git",
        "x = weights@inputs.transpose(0, 1)",
        "@pytest.mark.parametrize, A@B.T, 3 @ 4",
        "a basic understanding; the bearer of internationalization",
        "http://localhost:8000/v1 and https://api.openai.com/v1 and https://example.com",
        "127.0.0.1, 8.8.8.8, version 4.10.0.19041.1, 1.10.2.3.4",
        "/home/user/x, /home/agent/y, /home, /usr/local/bin",
        "skating sk-learn task-specific-evaluation-harness-for-agents",
        "B08XYZ1234 [SEP] Price: $10.99 [SEP] 4.5 stars",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    redact = redactor()
    assert redact.text(text) == text
    assert not redact.counts


def test_real_episodes_stay_as_they_are(play) -> None:
    redact = redactor()
    episodes = play(ErringExpertPolicy(0.3), count=20)
    assert all(redact(episode) is episode for episode in episodes)
    assert not redact.counts


def test_every_string_of_a_record_is_searched(play) -> None:
    (episode,) = play(count=1)
    secret = f"hf_{LETTERS}"
    step = replace(
        episode.steps[0],
        text=f"Action: use {secret}",
        observation=f"used {secret}",
        reasoning=secret,
        candidates=({"text": [secret]},),
        info={secret: 1},
        token_ids=(1, 2),
        logprobs=(-0.1, -0.2),
    )
    clean = replace(episode.steps[1], token_ids=(3,))
    task = Task("e", "train", 0, "k", {"file": "/home/jane/game"})
    episode = replace(
        episode,
        task=task,
        prompt=(Message("user", secret),),
        steps=(step, clean),
        extra={"note": {"deep": [f"x {secret}"]}},
    )
    redact = redactor()
    cleaned = redact(episode)
    assert LETTERS.encode() not in cleaned.to_json()
    assert dict(redact.counts) == {"API key": 7, "home folder": 1}
    assert (cleaned.steps[0].token_ids, cleaned.steps[0].logprobs) == (None, None)
    assert cleaned.steps[1] == clean
    assert cleaned.task.payload == {"file": "/home/user/game"}
    assert cleaned.id == episode.id
    assert Trajectory.from_json(cleaned.to_json()) == cleaned


def test_a_common_user_name_is_no_trace() -> None:
    redact = Redactor(user="root", host="localhost")
    assert redact.text("the root of the tree, localhost") == "the root of the tree, localhost"


def test_two_keys_that_become_one_both_stay(play) -> None:
    (episode,) = play(count=1)
    episode = replace(episode, extra={"a@example.org": 1, "b@example.org": 2})
    assert sorted(redactor()(episode).extra.values()) == [1, 2]
