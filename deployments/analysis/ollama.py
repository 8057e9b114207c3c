"""The door to Ollama: one answer at a time, a deadline on each, and no prompt that was cut unseen."""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import ollama as ollama_client

from deployments.analysis.models import AnalystHealth
from deployments.analysis.prompt import ANSWER_TOKENS, Message, estimated_tokens
from deployments.common.errors import BadUpstream, CandlecastError, LlmUnavailable, PromptCut, UpstreamTimeout
from deployments.common.settings import OllamaSettings

_HEALTH_TIMEOUT_S = 2.0
_FULLEST_TOKEN = 0.5
"""Tokens that a whole prompt takes at the very least, as a share of the estimate of three characters a token."""


@dataclass(slots=True)
class Usage:
    """What one answer took; filled in when its last piece has arrived."""

    prompt_tokens: int = 0
    answer_tokens: int = 0
    model: str = ""


@dataclass(slots=True)
class Stream:
    """An answer under way: iterate `pieces` to their end or close them, then read `usage`."""

    pieces: AsyncGenerator[str]
    usage: Usage = field(default_factory=Usage)


class OllamaModel:
    """Ask an Ollama server. One question at a time per replica: waiting counts against the deadline."""

    def __init__(self, settings: OllamaSettings) -> None:
        self.settings = settings
        # A proxy of the environment has no business between us and a server in our own network.
        self._client = ollama_client.AsyncClient(host=settings.url, trust_env=False, follow_redirects=False)
        self._turn = asyncio.Semaphore(1)
        self._digests: dict[str, str] = {}

    async def ask(
        self, messages: list[Message], schema: dict[str, Any], model: str, deadline: float
    ) -> tuple[str, Usage]:
        """Return the whole answer; see `stream`."""
        stream = self.stream(messages, schema, model, deadline)
        text = "".join([piece async for piece in stream.pieces])
        return text, stream.usage

    def stream(self, messages: list[Message], schema: dict[str, Any], model: str, deadline: float) -> Stream:
        """Start an answer in the shape of a JSON schema, due by `deadline` on the monotonic clock.

        Iterating raises `LlmUnavailable` (not reachable, overloaded, model not pulled), `UpstreamTimeout`,
        `PromptCut`, or `BadUpstream` when what comes is no answer.
        """
        usage = Usage(model=model)
        return Stream(self._pieces(messages, schema, usage, deadline), usage)

    async def _pieces(
        self, messages: list[Message], schema: dict[str, Any], usage: Usage, deadline: float
    ) -> AsyncGenerator[str]:
        try:
            async with asyncio.timeout_at(_loop_time(deadline)):
                await self._turn.acquire()
        except TimeoutError:
            raise UpstreamTimeout("Ollama was busy with other analyses until the deadline") from None
        try:
            async with aclosing(self._parts(messages, schema, usage.model, deadline)) as parts:
                async for part in parts:
                    if part.done:
                        self._close(part, messages, usage)
                    yield part.message.content or ""
        finally:
            self._turn.release()

    async def _parts(
        self, messages: list[Message], schema: dict[str, Any], model: str, deadline: float
    ) -> AsyncGenerator[Any]:
        options = {"num_ctx": self.settings.num_ctx, "num_predict": ANSWER_TOKENS, "temperature": 0.2, "seed": 1}
        parts: Any = None
        is_done = False
        try:
            while not is_done:
                try:
                    async with asyncio.timeout_at(_loop_time(deadline)):
                        if parts is None:
                            parts = await self._client.chat(
                                model=model, messages=messages, format=schema, options=options, stream=True
                            )
                        part = await anext(parts)
                except StopAsyncIteration:
                    raise BadUpstream("Ollama ended its answer half way") from None
                except Exception as error:
                    raise _meaning(error, model) from error
                is_done = bool(part.done)
                yield part
        finally:
            if parts is not None:
                await parts.aclose()

    def _close(self, part: Any, messages: list[Message], usage: Usage) -> None:
        usage.prompt_tokens = part.prompt_eval_count or 0
        usage.answer_tokens = part.eval_count or 0
        if is_cut(part.prompt_eval_count, estimated_tokens(messages), self.settings.num_ctx):
            raise PromptCut(f"the model read {part.prompt_eval_count} tokens of a longer prompt; raise OLLAMA_NUM_CTX")
        if part.done_reason == "length":
            raise BadUpstream(f"the model did not come to an end within {ANSWER_TOKENS} tokens")

    async def digest(self, model: str) -> str:
        """Return the digest of a pulled model, empty where the server does not tell."""
        if model not in self._digests:
            self._digests.update(await self._models(_HEALTH_TIMEOUT_S))
        return self._digests.get(model, "")

    async def health(self) -> AnalystHealth:
        """Return whether the server answers and has the model."""
        model = self.settings.model
        try:
            models = await self._models(_HEALTH_TIMEOUT_S)
        except CandlecastError as error:
            return AnalystHealth("down", model, str(error))
        if model not in models:
            return AnalystHealth("down", model, f"the model {model} is not pulled")
        return AnalystHealth("ok", model)

    async def close(self) -> None:
        """Close the connections that are kept for the next question."""
        await self._client.close()  # type: ignore[no-untyped-call]

    async def _models(self, timeout_s: float) -> dict[str, str]:
        """Return the digests of all pulled models by name; `name` stands for `name:latest` too."""
        try:
            async with asyncio.timeout(timeout_s):
                listed = await self._client.list()
        except Exception as error:
            raise _meaning(error, self.settings.model) from error
        digests = {model.model: model.digest or "" for model in listed.models if model.model}
        return digests | {name.removesuffix(":latest"): digest for name, digest in digests.items()}


def is_cut(seen: int | None, estimate: int, num_ctx: int) -> bool:
    """Tell whether a model clearly read less than the prompt; a server that does not count is believed."""
    if not seen:
        return False
    return seen < _FULLEST_TOKEN * estimate or seen >= num_ctx


def prompt_hash(messages: list[Message]) -> str:
    """Return a short, stable hash of a prompt."""
    text = "\x00".join(f"{message['role']}\x01{message['content']}" for message in messages)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _loop_time(deadline: float) -> float:
    return asyncio.get_running_loop().time() + (deadline - time.monotonic())


def _meaning(error: Exception, model: str) -> CandlecastError:
    """Return the error of ours for what the client raises.

    Its own errors are three; what else comes out of it is a connection that broke, in classes of its HTTP library.
    """
    if isinstance(error, TimeoutError):
        return UpstreamTimeout("Ollama did not answer before the deadline")
    if isinstance(error, ollama_client.ResponseError):
        return _refusal(error, model)
    if isinstance(error, ValueError | TypeError):
        return BadUpstream("Ollama sent something that is no answer of its API")
    return LlmUnavailable(f"Ollama is not reachable ({type(error).__name__})", 5.0)


def _refusal(error: ollama_client.ResponseError, model: str) -> CandlecastError:
    if error.status_code == 404:
        return LlmUnavailable(f"Ollama has no model {model}", 60.0)
    if error.status_code in {429, 503}:
        return LlmUnavailable("Ollama is overloaded", 10.0)
    return BadUpstream(f"Ollama failed with status {error.status_code}")
