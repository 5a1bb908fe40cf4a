"""One call and what comes back: wire dialects, candidates, routing, limits, other clients."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import pytest
from fault_server import Body, Fault, FaultServer
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from lessons import COUNT, QUICK, clean_run, run, serve, teacher, trajectories

from agentkd.calls import Caller, ChatAnswer, ChatRequest
from agentkd.calls.continuation import Continuation
from agentkd.calls.langchain_client import LangchainClient, make_chat_model
from agentkd.calls.limiter import Limiter
from agentkd.calls.openai_client import OpenAIClient
from agentkd.errors import CallError, ConfigError, ContinuationError, ProviderRefusedError
from agentkd.policies.chat import ChatPolicy
from agentkd.policies.openai_compatible import OpenAICompatibleChat
from agentkd.students.tiny import BASE
from agentkd.trajectory import Message

QUESTION = (Message("system", "be brief"), Message("user", "hello"))


def ask(server: FaultServer, request: ChatRequest | None = None, **client: Any) -> ChatAnswer:
    caller = Caller(OpenAIClient("stub", **client), [server.url])

    async def once() -> ChatAnswer:
        async with caller:
            return await caller.ask(request or ChatRequest(QUESTION), caller.endpoints.open())

    return anyio.run(once)


def says(change: Any, **options: Any) -> FaultServer:
    return FaultServer(
        lambda body: "hi", lambda request: Fault(change=change) if change else None, **options
    )


def test_reasoning_token_ids_and_logprobs_are_kept() -> None:
    def as_vllm(answer: Body) -> Body:
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": "hi", "reasoning_content": "polite"},
            "finish_reason": "stop",
            "token_ids": [5, 7],
            "logprobs": {"content": [{"logprob": -0.1}, {"logprob": -2.5}]},
        }
        return answer | {"choices": [choice]}

    with says(as_vllm) as server:
        (candidate,) = ask(server).candidates
    assert candidate.reasoning == "polite"
    assert candidate.token_ids == (5, 7)
    assert candidate.logprobs == (-0.1, -2.5)


def test_token_ids_of_llama_cpp_and_its_cache_count() -> None:
    def as_llama_cpp(answer: Body) -> Body:
        content = [{"id": 3, "logprob": -0.5}, {"id": 4, "logprob": -1.0}]
        choice = {
            "message": {"content": "hi", "reasoning": "hm"},
            "finish_reason": "stop",
            "logprobs": {"content": content},
        }
        usage = {"prompt_tokens": 9, "completion_tokens": 2}
        return {"choices": [choice], "usage": usage, "timings": {"cache_n": 6}}

    with says(as_llama_cpp) as server:
        answer = ask(server)
    assert answer.candidates[0].token_ids == (3, 4)
    assert answer.candidates[0].reasoning == "hm"
    assert answer.is_cache_known
    assert answer.usage.cached_tokens == 6


def test_a_server_that_does_not_tell_of_its_cache_is_not_said_to_have_none() -> None:
    def silent(answer: Body) -> Body:
        return answer | {"usage": {"prompt_tokens": 9, "completion_tokens": 2}}

    with says(silent) as server:
        policy = ChatPolicy(Caller(OpenAIClient("stub"), [server.url]))
        assert not ask(server).is_cache_known
        ledger = policy.caller.ledger
        ledger.add("teacher", "stub", ask(server), None)
    assert ledger.roles["teacher"].prefix_cache_hit_rate is None


def test_a_streamed_answer_is_the_same_answer() -> None:
    with says(None) as server:
        server.answer = lambda body: "a long answer, in several pieces " * 5
        whole, streamed = ask(server), ask(server, stream=True)
        assert server.requests[-1].body["stream"] is True
    assert streamed.candidates == whole.candidates
    assert streamed.usage.prompt_tokens == whole.usage.prompt_tokens
    assert streamed.model == whole.model


@pytest.mark.parametrize("given_by_server", [1, 2, 5])
def test_candidates_that_the_server_leaves_out_are_asked_for_again(given_by_server: int) -> None:
    def few(answer: Body) -> Body:
        return answer | {"choices": answer["choices"][:given_by_server]}

    with says(few) as server:
        answer = ask(server, ChatRequest(QUESTION, n=5, seed=1))
    assert len(answer.candidates) == 5
    assert len(server.requests) == math.ceil(5 / given_by_server)
    seeds = [request.body["seed"] for request in server.requests]
    assert len(set(seeds)) == len(seeds)


def test_candidates_are_recorded_and_the_first_one_acts(tmp_path: Path) -> None:
    from agentkd.store import EpisodeReader

    with serve() as server:
        policy = teacher(server.url)
        policy.n = 3
        run(policy, tmp_path / "store.jsonl", 1)
    (episode,) = EpisodeReader(tmp_path / "store.jsonl")
    assert all(len(step.candidates) == 3 for step in episode.steps)
    assert all(step.candidates[0]["text"] == step.text for step in episode.steps)


def test_a_seed_is_not_sent_to_a_server_that_refuses_one() -> None:
    with says(None) as server:
        ask(server, ChatRequest(QUESTION, seed=4))
        ask(server, ChatRequest(QUESTION, seed=4), sends_seed=False)
        first, second = (request.body for request in server.requests)
    assert first["seed"] == 4
    assert "seed" not in second


def test_the_key_is_sent_and_never_stored(tmp_path: Path) -> None:
    with serve(key="very-secret") as server:
        policy = teacher(server.url, key="very-secret")
        run(policy, tmp_path / "store.jsonl", 1)
    assert server.answered > 0
    assert b"very-secret" not in (tmp_path / "store.jsonl").read_bytes()


def test_an_episode_stays_with_its_endpoint_and_the_load_is_shared(tmp_path: Path) -> None:
    with serve(delay_s=0.005) as one, serve(delay_s=0.005) as other:
        run(teacher(one.url, other.url), tmp_path / "store.jsonl", concurrency=4)
        seen = [
            {request.body["messages"][0]["content"] for request in server.requests}
            for server in (one, other)
        ]
    assert not seen[0] & seen[1]
    assert len(seen[0] | seen[1]) == COUNT
    assert min(len(tasks) for tasks in seen) >= 2


def test_an_endpoint_that_dies_hands_its_episodes_over(tmp_path: Path) -> None:
    clean = clean_run(tmp_path)
    path = tmp_path / "store.jsonl"
    with serve() as good, serve(lambda request: Fault(502)) as bad:
        run(teacher(bad.url, good.url), path, concurrency=4)
        assert 0 < len(bad.requests) < len(good.requests)
    assert trajectories(path) == clean


async def test_the_limit_halves_once_per_round_and_grows_by_one_per_round() -> None:
    limiter = Limiter(16)
    limiter.congested(began_at=1.0)
    limiter.congested(began_at=1.0)
    assert limiter.limit == 8
    for _ in range(8):
        limiter.widen()
    assert 8.8 < limiter.limit <= 9
    for _ in range(1000):
        limiter.widen()
    assert limiter.limit == 16


async def test_never_more_turns_than_the_limit_and_none_is_lost() -> None:
    limiter = Limiter(4)
    peak, done = 0, 0

    async def one(is_cancelled: bool) -> None:
        nonlocal peak, done
        with anyio.CancelScope() as scope:
            if is_cancelled:
                scope.deadline = anyio.current_time() + 0.003
            async with limiter.turn(10):
                peak = max(peak, limiter.under_way)
                await anyio.sleep(0.002)
                done += 1

    async with anyio.create_task_group() as group:
        for number in range(60):
            group.start_soon(one, number % 3 == 0)
    assert peak == 4
    assert done >= 40
    assert limiter.under_way == 0
    async with limiter.turn(1):
        assert limiter.under_way == 1


@pytest.mark.parametrize(
    "limits", [{"requests_per_minute": 3000.0}, {"tokens_per_minute": 3000.0 * 50}]
)
async def test_calls_are_spaced_by_the_caps(limits: dict[str, float]) -> None:
    limiter = Limiter(50, **limits)
    began: list[float] = []

    async def one() -> None:
        async with limiter.turn(50):
            began.append(anyio.current_time())

    async with anyio.create_task_group() as group:
        for _ in range(11):
            group.start_soon(one)
    assert max(began) - min(began) >= 10 * 60 / 3000 * 0.95


def test_a_caller_settles_what_it_estimated() -> None:
    with says(None) as server:
        caller = Caller(OpenAIClient("stub"), [server.url], tokens_per_minute=1e9)

        async def several() -> None:
            async with caller:
                route = caller.endpoints.open()
                for seed in range(4):
                    await caller.ask(ChatRequest(QUESTION, max_tokens=10**6, seed=seed), route)

        anyio.run(several)
    assert server.answered == 4


def test_continuation_is_refused_where_a_template_strips_what_it_should_keep() -> None:
    keeping = Continuation("continue_final_message", str(BASE))
    message = Message("assistant", "Thought: hm \n\n")
    keeping.check_template((*QUESTION, message))
    stripping = Continuation("continue_final_message", str(BASE))
    tokenizer = stripping.renderer.tokenizer
    template = str(tokenizer.chat_template)
    tokenizer.chat_template = template.replace("message['content']", "(message['content'] | trim)")
    assert tokenizer.chat_template != template
    with pytest.raises(ContinuationError, match="alters the text"):
        stripping.check_template((*QUESTION, message))


def test_a_server_that_ignores_the_flag_is_found_out_by_its_token_count() -> None:
    said = (*QUESTION, Message("assistant", "Thought: the"))
    way = Continuation("continue_final_message", str(BASE))
    expected = len(way.renderer.encode(way.rendered(said)))

    def counting(tokens: int) -> Any:
        return lambda answer: (
            answer
            | {
                "usage": {"prompt_tokens": tokens, "completion_tokens": 1},
                "choices": [{"message": {"content": " mug"}, "finish_reason": "stop"}],
            }
        )

    with says(counting(expected)) as server:
        answer = ask(server, ChatRequest(said), continuation=way)
        body = server.requests[0].body
    assert answer.candidates[0].text == "Thought: the mug"
    assert body["continue_final_message"] is True
    assert body["add_generation_prompt"] is False
    with says(counting(expected + 2)) as server, pytest.raises(ContinuationError, match="ignores"):
        ask(server, ChatRequest(said), continuation=way)


def test_a_token_level_prefix_goes_out_as_token_ids() -> None:
    said = (*QUESTION, Message("assistant", "Thought: the\n\n"))
    way = Continuation("token_ids", str(BASE))
    tokens = way.renderer.encode(way.rendered(said))

    def counting(answer: Body) -> Body:
        return answer | {"usage": {"prompt_tokens": len(tokens), "completion_tokens": 1}}

    with says(counting) as server:
        answer = ask(server, ChatRequest(said), continuation=way)
        assert server.requests[0].path.endswith("/completions")
        assert server.requests[0].body["prompt"] == tokens
    assert answer.candidates[0].text == "Thought: the\n\nhi"
    assert way.renderer.decode(tokens).endswith("Thought: the\n\n")


def test_continuation_without_a_tokenizer_is_refused() -> None:
    with pytest.raises(ContinuationError, match=r"teacher\.tokenizer"):
        Continuation("text")


def test_our_chat_model_is_a_langchain_model_with_everything_kept() -> None:
    def reasoning(answer: Body) -> Body:
        message = {"content": "hi", "reasoning_content": "polite"}
        choice = {"message": message, "finish_reason": "stop", "token_ids": [5, 7]}
        return answer | {"choices": [choice]}

    said = [SystemMessage("be brief"), HumanMessage("hello"), AIMessage("?"), HumanMessage("hm")]
    with says(reasoning) as server:
        model = OpenAICompatibleChat(model="stub", base_url=server.url, max_tokens=9)
        answer = model.invoke(said)
        body = server.requests[0].body
    assert [message["role"] for message in body["messages"]] == [
        *("system", "user", "assistant", "user")
    ]
    assert body["max_tokens"] == 9
    assert answer.text == "hi"
    assert answer.additional_kwargs["reasoning_content"] == "polite"
    assert tuple(answer.response_metadata["token_ids"]) == (5, 7)
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_token_details"] == {"cache_read": 0}


def test_any_langchain_model_teaches(tmp_path: Path) -> None:
    clean = clean_run(tmp_path)
    path = tmp_path / "langchain.jsonl"
    with serve(lambda request: Fault(503) if request.visit == 1 else None) as server:
        options = {"model": "stub", "base_url": server.url}
        path_of_class = "agentkd.policies.openai_compatible:OpenAICompatibleChat"
        model = make_chat_model(path_of_class, options)
        caller = Caller(LangchainClient(model, "stub"), patience=QUICK)
        run(ChatPolicy(caller), path)
    assert trajectories(path) == clean
    assert caller.ledger.roles["teacher"].prompt_tokens == server.usage["prompt_tokens"]


async def test_errors_of_provider_packages_are_classed_by_their_status() -> None:
    class Response:
        def __init__(self, status_code: int) -> None:
            self.status_code, self.headers = status_code, {"retry-after": "7"}

    class ProviderError(Exception):
        def __init__(self, status_code: int) -> None:
            super().__init__("said the provider")
            self.status_code, self.response = status_code, Response(status_code)

    def raising(error: Exception) -> LangchainClient:
        def messages() -> Any:
            raise error
            yield

        return LangchainClient(GenericFakeChatModel(messages=messages()), "fake")

    with pytest.raises(CallError) as limited:
        await raising(ProviderError(429)).complete(ChatRequest(QUESTION), "")
    assert (limited.value.kind, limited.value.retry_after_s) == ("rate_limit", 7.0)
    with pytest.raises(ProviderRefusedError):
        await raising(ProviderError(401)).complete(ChatRequest(QUESTION), "")
    with pytest.raises(CallError) as lost:
        await raising(ConnectionResetError("gone")).complete(ChatRequest(QUESTION), "")
    assert lost.value.kind == "unavailable"
    with pytest.raises(KeyError):
        await raising(KeyError("a bug")).complete(ChatRequest(QUESTION), "")


def test_options_of_a_langchain_model_are_part_of_the_question() -> None:
    def identity(**options: Any) -> str:
        path = "agentkd.policies.openai_compatible:OpenAICompatibleChat"
        given = {"model": "stub", "base_url": "http://x", "api_key": "secret", **options}
        return LangchainClient(make_chat_model(path, given), "stub").identity

    assert identity() == identity()
    assert identity() != identity(sampling={"temperature": 0.3})
    assert "secret" not in identity()


async def test_reasoning_blocks_of_langchain_messages_are_kept() -> None:
    content: list[str | dict[Any, Any]] = [
        {"type": "thinking", "thinking": "polite"},
        {"type": "text", "text": "hi"},
    ]
    message = AIMessage(content, response_metadata={"stop_reason": "max_tokens"})
    client = LangchainClient(GenericFakeChatModel(messages=iter([message])), "fake")
    answer = await client.complete(ChatRequest(QUESTION), "")
    (candidate,) = answer.candidates
    assert (candidate.text, candidate.reasoning) == ("hi", "polite")
    assert candidate.finish_reason == "length"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("langchain_core", "must name a class"),
        ("no_such_package:Chat", "pip install no-such-package"),
        ("langchain_core.messages:AIMessage", "is not a langchain-core chat model"),
        ("langchain_core.messages:Nothing", "Nothing"),
    ],
)
def test_a_langchain_class_that_is_none_gets_a_message(path: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_chat_model(path, {})


def test_seeds_differ_between_turns_and_attempts(tmp_path: Path) -> None:
    with serve() as server:
        run(teacher(server.url), tmp_path / "store.jsonl", 2, attempts=2)
        seeds = Counter(request.body["seed"] for request in server.requests)
    assert max(seeds.values()) == 1
    assert all(0 <= seed < 2**31 for seed in seeds)
