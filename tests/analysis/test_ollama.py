"""The door to Ollama against a small server that behaves well or badly."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from deployments.analysis.ollama import OllamaModel, is_cut
from deployments.analysis.prompt import ANSWER_SCHEMA, Message
from deployments.common.errors import BadUpstream, CandlecastError, LlmUnavailable, PromptCut, UpstreamTimeout
from deployments.common.settings import OllamaSettings
from tests.fakes.ollama import DIGEST, MODEL, FakeOllama, Mode

MESSAGES = [Message(role="system", content="rules " * 200), Message(role="user", content="facts " * 200)]


@asynccontextmanager
async def model(url: str, name: str = MODEL) -> AsyncIterator[OllamaModel]:
    one = OllamaModel(OllamaSettings(url=url, model=name, num_ctx=4096, timeout_s=5))
    try:
        yield one
    finally:
        await one.close()


async def ask(url: str, name: str = MODEL, seconds: float = 10.0) -> str:
    async with model(url) as one:
        text, _ = await one.ask(MESSAGES, ANSWER_SCHEMA, name, time.monotonic() + seconds)
    return text


async def test_an_answer_comes_in_pieces_with_its_counts() -> None:
    with FakeOllama() as server:
        async with model(server.url) as one:
            stream = one.stream(MESSAGES, ANSWER_SCHEMA, MODEL, time.monotonic() + 10)
            pieces = [piece async for piece in stream.pieces]
    assert len(pieces) > 5
    assert '"summary"' in "".join(pieces)
    assert stream.usage.prompt_tokens > 0
    asked = server.requests[0]
    assert asked["options"]["num_ctx"] == 4096
    assert asked["format"] == ANSWER_SCHEMA


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        (Mode.ERROR, BadUpstream),
        (Mode.OVERLOADED, LlmUnavailable),
        (Mode.HTML, BadUpstream),
        (Mode.CUT_PROMPT, PromptCut),
        (Mode.ENDLESS, BadUpstream),
        (Mode.BROKEN_OFF, BadUpstream),
    ],
)
async def test_each_failure_has_its_meaning(mode: Mode, error: type[CandlecastError]) -> None:
    with FakeOllama(mode) as server, pytest.raises(error):
        await ask(server.url)


async def test_a_slow_server_is_left_at_the_deadline() -> None:
    with FakeOllama(Mode.SLOW) as server, pytest.raises(UpstreamTimeout):
        await ask(server.url, seconds=0.3)


async def test_no_server_is_unavailable() -> None:
    with pytest.raises(LlmUnavailable):
        await ask("http://127.0.0.1:9")


async def test_a_model_that_is_not_pulled_is_named() -> None:
    with FakeOllama() as server, pytest.raises(LlmUnavailable, match="no model other:7b"):
        await ask(server.url, name="other:7b")


async def test_questions_wait_for_their_turn() -> None:
    with FakeOllama() as server:
        deadline = time.monotonic() + 10
        async with model(server.url) as one:
            await asyncio.gather(*(one.ask(MESSAGES, ANSWER_SCHEMA, MODEL, deadline) for _ in range(4)))
    assert len(server.requests) == 4
    assert server.most_at_once == 1


async def test_waiting_counts_against_the_deadline_and_the_turn_comes_back() -> None:
    with FakeOllama(Mode.SLOW) as server:
        async with model(server.url) as one:
            first = asyncio.ensure_future(one.ask(MESSAGES, ANSWER_SCHEMA, MODEL, time.monotonic() + 2))
            await asyncio.sleep(0)
            with pytest.raises(UpstreamTimeout, match="busy"):
                await one.ask(MESSAGES, ANSWER_SCHEMA, MODEL, time.monotonic() + 0.2)
            with pytest.raises(UpstreamTimeout):
                await first
            server.mode = Mode.GOOD
            assert await one.ask(MESSAGES, ANSWER_SCHEMA, MODEL, time.monotonic() + 10)


async def test_health_is_ok_where_the_server_has_the_model() -> None:
    with FakeOllama() as server:
        async with model(server.url) as one:
            assert (await one.health()).ollama == "ok"
            assert await one.digest(MODEL) == DIGEST


async def test_health_is_down_and_says_why() -> None:
    with FakeOllama() as server:
        async with model(server.url, "other:7b") as one:
            assert "not pulled" in (await one.health()).reason
            server.mode = Mode.ERROR
            assert (await one.health()).ollama == "down"
    async with model("http://127.0.0.1:9") as one:
        assert (await one.health()).ollama == "down"


@pytest.mark.parametrize(
    ("seen", "cut"), [(None, False), (0, False), (800, False), (499, True), (600, False), (4096, True)]
)
def test_a_prompt_is_cut_where_the_model_read_clearly_less_or_all_it_can(seen: int | None, cut: bool) -> None:
    assert is_cut(seen, 1000, 4096) is cut
