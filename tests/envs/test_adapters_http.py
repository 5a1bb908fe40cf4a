"""The HTTP server and its clients: real processes, real sockets, and clients that err."""

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from agentkd_envs import Env, EnvCrashedError, EnvError, Task, make_env
from agentkd_envs.adapters.http_server import EnvServer

from agentkd.collect import Setting, collect
from agentkd.policies import RandomPolicy
from agentkd.prompts import action_format
from agentkd.store import EpisodeReader


@contextmanager
def serving(*arguments: str) -> Iterator[str]:
    command = [sys.executable, "-u", "-m", "agentkd", "envs", "serve", *arguments, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[3]
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving("household", "--set", "preset=small") as address:
        yield address


def ask(url: str, verb: str, body: Any = None, raw: bytes | None = None) -> tuple[int, Any]:
    data = raw if raw is not None else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/{verb}", data=data)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_agentgyms_verbs(url: str) -> None:
    number = ask(url, "create", {})[1]["id"]
    status, begun = ask(url, "reset", {"id": number, "game": 3, "world_type": "Text"})
    assert status == 200
    assert begun["observation"].startswith("-= Welcome")
    assert "look" in begun["available_actions"]
    assert begun["task_type"] == make_env("household").tasks("train", 1, 3)[0].kind
    status, answer = ask(url, "step", {"id": number, "action": begun["available_actions"][0]})
    assert (status, answer["done"], answer["reward"], answer["valid"]) == (200, False, 0.0, True)
    assert ask(url, f"observation?id={number}") == (200, answer["observation"])
    assert ask(url, f"available_actions?id={number}") == (200, answer["available_actions"])
    assert ask(url, "close", {"id": number}) == (200, {"closed": True})
    assert ask(url, "step", {"id": number, "action": "look"})[0] == 404


def test_the_server_says_what_it_serves(url: str) -> None:
    described = ask(url, "")[1]
    assert described["name"] == "household"
    assert described["versions"] == dict(make_env("household", preset="small").spec.versions)


@pytest.mark.parametrize(
    ("verb", "raw", "status", "message"),
    [
        ("step", b"{", 400, "not JSON"),
        ("step", b"[1]", 400, "not a JSON object"),
        ("step", b"[" * 100_000, 400, "not JSON"),
        ("step", b"{}", 400, "'id' is missing"),
        ("step", b'{"id": true}', 400, "'id' is no number"),
        ("step", b'{"id": "x"}', 400, "'id' is no number"),
        ("step", b'{"id": 12345, "action": "look"}', 404, "POST /create"),
        ("fly", b"{}", 404, "/available_actions"),
        ("create", None, 405, "asked for with POST"),
        ("tasks?split=trian", None, 400, "Did you mean 'train'"),
        ("tasks?count=many", None, 400, "'count' is no number"),
        ("step", b"x" * (1 << 21), 413, "bytes"),
    ],
)
def test_a_clients_mistake_is_explained(
    url: str, verb: str, raw: bytes | None, status: int, message: str
) -> None:
    with suppress(ConnectionError, urllib.error.URLError):
        answered, content = ask(url, verb, raw=raw)
        assert answered == status
        assert message in content["error"]
        return
    assert status == 413, "only a body that is refused unread may meet a closed connection"


def test_mistakes_within_an_episode_are_explained(url: str) -> None:
    number = ask(url, "create", {})[1]["id"]

    def explained(verb: str, **fields: Any) -> tuple[int, str]:
        status, content = ask(url, verb, {"id": number, **fields})
        return status, content["error"]

    assert explained("step", action="look") == (409, "the episode has not begun: POST /reset")
    assert explained("reset")[1] == "'index' is missing"
    assert explained("reset", index=-1)[0] == 400
    assert explained("reset", index=0, split="tarin")[1].startswith("unknown split")
    assert explained("reset", task={"env": "household"})[1].startswith("a task has the fields")
    task = {"env": "household", "split": "train", "seed": 0, "kind": "x", "payload": {"room": 1}}
    assert "payload" in explained("reset", task=task)[1]
    broken = {**task, "payload": {"file": ["no name"]}}
    assert explained("reset", task=broken) == (500, "the server failed: TypeError")
    assert ask(url, "reset", {"id": number, "index": 0})[0] == 200
    assert explained("step") == (400, "'action' is not a text: None")
    assert explained("step", action=["look"])[0] == 400


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /create HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused_and_the_server_lives(url: str, sent: bytes) -> None:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(sent)
        answer = connection.recv(1000)
    assert answer.startswith(b"HTTP/1.1 4")
    assert ask(url, "")[0] == 200


def test_a_remote_environment_is_the_local_one(url: str) -> None:
    async def both() -> None:
        local, remote = make_env("household", preset="small"), make_env("http", url=url)
        assert remote.spec == local.spec
        assert list(remote.tasks("seen", 5, 2)) == list(local.tasks("seen", 5, 2))
        for task in local.tasks("seen", 3):
            here, there = await local.reset(task), await remote.reset(task)
            assert there.text == here.text
            assert list(there.admissible()) == list(here.admissible())
            expert = local.expert()  # type: ignore[attr-defined]
            move = expert.first(here.text)
            for _ in range(50):
                mine, theirs = await local.step(move.action), await remote.step(move.action)
                fields = ("text", "reward", "terminated", "success", "valid")
                assert [getattr(mine, f) for f in fields] == [getattr(theirs, f) for f in fields]
                assert list(mine.admissible()) == list(theirs.admissible())
                if mine.terminated:
                    break
                move = expert.next(mine.text)
            assert theirs.success
        await remote.close()
        await remote.close()

    asyncio.run(both())


def test_a_remote_fork_goes_its_own_way(url: str) -> None:
    async def fork() -> None:
        env = make_env("http", url=url)
        first = await env.reset(env.tasks("train", 1)[0])
        places = [action for action in first.admissible() if action.startswith("go to")]
        await env.step(places[0])
        other = await env.fork()
        before = (await other.step("look")).text
        await other.step(places[1])
        assert (await env.step("look")).text == before
        for each in (env, other):
            await each.close()

    asyncio.run(fork())


def test_collection_runs_over_http(url: str, tmp_path: Any) -> None:
    env = make_env("http", url=url)
    setting = Setting(lambda: make_env("http", url=url), action_format("react"), 5)
    path = tmp_path / "store.jsonl"
    tally = asyncio.run(collect(RandomPolicy(), env.tasks("train", 6), path, setting))
    assert (tally.finished, tally.infrastructure_failures) == (6, 0)
    assert all(t.versions == env.spec.versions for t in EpisodeReader(path).episodes())


def test_a_wrong_task_and_a_dead_server_are_told_apart(url: str) -> None:
    async def fails() -> None:
        with serving("household") as other:
            env = make_env("http", url=other)
            with pytest.raises(EnvError, match="reset"):
                await env.step("look")
            with pytest.raises(EnvCrashedError, match="payload"):
                await env.reset(Task("household", "train", 0, "x", {"room": 1}))
            await env.reset(env.tasks("train", 1)[0])
        with pytest.raises(EnvCrashedError, match="/step"):
            await env.step("look")
        with suppress(EnvCrashedError):
            await env.close()

    asyncio.run(fails())


def test_where_nothing_answers_the_command_to_start_it_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(EnvError, match="agentkd envs serve"):
            make_env("http", url=address)
    with pytest.raises(EnvError, match="url"):
        make_env("http")


def test_a_port_in_use_is_a_clear_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "agentkd", "envs", "serve", "household", "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "choose another port with --port" in done.stderr
    assert "Traceback" not in done.stderr


class CountingEnv:
    """A household environment that counts how many of it are open."""

    open = 0

    def __init__(self) -> None:
        self._inner: Any = make_env("household", preset="small")
        self.spec = self._inner.spec

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def reset(self, task: Task) -> Any:
        type(self).open += 1
        return await self._inner.reset(task)

    async def close(self) -> None:
        type(self).open -= 1


def test_idle_episodes_are_closed_and_live_ones_are_limited() -> None:
    ready: list[int] = []
    made: list[Env] = []

    def make() -> Any:
        made.append(CountingEnv())  # type: ignore[arg-type]
        return made[-1]

    server = EnvServer(make, idle_s=0.3, max_episodes=2)
    loop = asyncio.new_event_loop()
    task = loop.create_task(server.run("127.0.0.1", 0, ready.append))

    def run() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    thread = threading.Thread(target=run)
    thread.start()
    while not ready:
        time.sleep(0.01)
    address = f"http://127.0.0.1:{ready[0]}"
    numbers = [ask(address, "create", {})[1]["id"] for _ in range(2)]
    assert ask(address, "create", {})[0] == 503
    assert ask(address, "reset", {"id": numbers[0], "index": 0})[0] == 200
    assert CountingEnv.open == 1
    deadline = time.monotonic() + 20
    while ask(address, f"observation?id={numbers[1]}")[0] != 404 and time.monotonic() < deadline:
        time.sleep(0.8)
    assert ask(address, f"observation?id={numbers[0]}")[0] == 404
    assert CountingEnv.open <= 0
    assert ask(address, "create", {})[0] == 200
    loop.call_soon_threadsafe(task.cancel)
    thread.join(20)
    assert not thread.is_alive()
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


class ForeignServer(BaseHTTPRequestHandler):
    """Answers as AgentGym's household, science and shop servers do, one task each."""

    kind = "household"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._say("This is an environment.")

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length) or b"{}")
        is_end = body.get("action") == "win"
        match self.kind, self.path:
            case "shop", "/create":
                self._say(7)
            case _, "/create":
                self._say({"id": 7})
            case "household", "/reset":
                assert (body["id"], body["world_type"]) == (7, "Text")
                self._say({"observation": f"Game {body['game']}", "available_actions": ["win"]})
            case "science", "/reset":
                text = {"task_description": "Boil.", "observation": f"Room {body['data_idx']}"}
                self._say({**text, "score": 0, "reward": 0, "done": False})
            case "shop", "/reset":
                self._say([f"Page {body['session_id']}", None])
            case "household", "/step":
                answer = {"observation": "Done.", "reward": float(is_end), "done": is_end}
                self._say({**answer, "available_actions": []} if is_end else {"error": "no"})
            case "science", "/step":
                self._say({"observation": "Hot.", "reward": 50, "score": 100, "done": True})
            case "shop", "/step":
                assert body["env_idx"] == 7
                self._say({"state": "Bought.", "reward": 0.5, "done": True, "info": None})

    def log_message(self, *arguments: Any) -> None:
        pass

    def _say(self, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.mark.parametrize(
    ("kind", "max_score", "texts", "reward", "success"),
    [
        ("household", 1.0, ("Game 2", "Done."), 1.0, True),
        ("science", 100.0, ("Boil.\nRoom 2", "Hot."), 1.0, True),
        ("shop", 1.0, ("Page 2", "Bought."), 0.5, False),
    ],
)
def test_servers_of_agentgym_are_played(
    kind: str, max_score: float, texts: tuple[str, str], reward: float, success: bool
) -> None:
    handler = type("Handler", (ForeignServer,), {"kind": kind})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever).start()
    url = f"http://127.0.0.1:{server.server_port}"

    async def play() -> None:
        env = make_env("agentgym", url=url, name=kind, size=5, max_score=max_score)
        assert len(env.tasks("all")) == 5
        first = await env.reset(env.tasks("all", 9, 2)[0])
        if kind == "household":
            assert first.admissible() == ("win",)
            with pytest.raises(EnvCrashedError, match="no"):
                await env.step("lose")
        result = await env.step("win")
        assert (first.text, result.text) == texts
        assert (result.reward, result.success, result.terminated) == (reward, success, True)
        await env.close()
        await env.close()

    try:
        asyncio.run(play())
        with pytest.raises(EnvError, match="'agentgym'"):
            make_env("http", url=url)
    finally:
        server.shutdown()
        server.server_close()
