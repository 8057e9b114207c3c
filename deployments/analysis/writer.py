"""Write an analysis from a fact sheet: the language model where it answers and holds, else the template."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from deployments.analysis.check import Checked, NumberCheck
from deployments.analysis.draft import JsonStrings
from deployments.analysis.models import AnalysisRequest, AnalystHealth, CheckReport, Engine, FactSheet
from deployments.analysis.ollama import Stream, Usage, prompt_hash
from deployments.analysis.prompt import ANSWER_SCHEMA, Answer, Message, messages_for, parse_answer, repair_messages
from deployments.analysis.sentences import remove
from deployments.analysis.template import template_paragraphs
from deployments.common.errors import BadUpstream, CandlecastError
from deployments.common.settings import OllamaSettings
from deployments.common.telemetry import logger

log = logger(__name__)


class LanguageModel(Protocol):
    """A language model as the writer uses it."""

    settings: OllamaSettings

    def stream(self, messages: list[Message], schema: dict[str, Any], model: str, deadline: float) -> Stream: ...

    async def ask(
        self, messages: list[Message], schema: dict[str, Any], model: str, deadline: float
    ) -> tuple[str, Usage]: ...

    async def digest(self, model: str) -> str: ...

    async def health(self) -> AnalystHealth: ...


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of text on its way to the reader; a piece of another engine replaces all before it."""

    text: str
    engine: Engine


@dataclass(frozen=True, slots=True)
class Written:
    """A finished text, who wrote it and how it held."""

    text: str
    engine: Engine
    check: CheckReport
    engine_reason: str = ""
    model: str = ""
    model_digest: str = ""
    prompt_hash: str = ""
    tokens: dict[str, int] = field(default_factory=dict)
    timings_ms: dict[str, float] = field(default_factory=dict)


class Writer:
    """Write with `model`; without one, by template."""

    def __init__(self, model: LanguageModel | None) -> None:
        self._model = model

    async def write(self, sheet: FactSheet, request: AnalysisRequest) -> AsyncGenerator[Piece | Written]:
        """Yield pieces of text that hold the number check already, and last the whole."""
        # Deriving all that a sheet supports and reading sentences against it is arithmetic, up to tens of milliseconds.
        check = await asyncio.to_thread(NumberCheck, sheet, request.language)
        reason = "no language model is configured"
        if self._model is not None:
            try:
                async with aclosing(_Dialogue(self._model, check, sheet, request).write()) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except CandlecastError as error:
                reason = str(error)
                log.warning("template answers for the language model", symbol=sheet.symbol, reason=reason)
        paragraphs = template_paragraphs(sheet, request)
        for paragraph in paragraphs:
            yield Piece(f"{paragraph}\n\n", Engine.TEMPLATE)
        yield await asyncio.to_thread(_by_template, paragraphs, check, reason)


def _by_template(paragraphs: list[str], check: NumberCheck, reason: str) -> Written:
    text = "\n\n".join(paragraphs)
    checked = check.check(text)
    if checked.misses:  # a fault of ours, but the reader gets only what holds
        log.error("template states numbers without grounds", sentences=checked.unresolved)
        text = remove(text, checked.unresolved)
    report = replace(check.check(text).report, removed=checked.unresolved)
    return Written(text, Engine.TEMPLATE, report, engine_reason=reason)


class _Dialogue:
    """One conversation with a model: draft, check, one repair, and what then does not hold goes."""

    def __init__(self, model: LanguageModel, check: NumberCheck, sheet: FactSheet, request: AnalysisRequest) -> None:
        self._model = model
        self._name = request.model or model.settings.model
        self._check = check
        self._language = request.language
        self._messages = messages_for(sheet, request, model.settings.num_ctx)
        self._started = time.monotonic()
        self._deadline = self._started + model.settings.timeout_s
        self._tokens = {"prompt": 0, "answer": 0}

    async def write(self) -> AsyncGenerator[Piece | Written]:
        """Yield the sentences that hold as they come, and last the whole; raises what the model raises."""
        raw = ""
        strings = JsonStrings()
        stream = self._model.stream(self._messages, ANSWER_SCHEMA, self._name, self._deadline)
        async with aclosing(stream.pieces) as pieces:
            async for piece in pieces:
                raw += piece
                for text in strings.feed(piece):
                    held = remove(text, (await self._checked(text)).unresolved)
                    if held:
                        yield Piece(f"{held}\n", Engine.OLLAMA)
        self._count(stream.usage)
        answer = parse_answer(raw)
        checked = await self._checked(answer.lines)
        repaired = 0
        if checked.misses:
            repaired = 1
            answer, checked = await self._repaired(raw, answer, checked)
        yield await self._finished(answer, checked, repaired)

    async def _repaired(self, raw: str, answer: Answer, checked: Checked) -> tuple[Answer, Checked]:
        """Ask once more, naming the misses; where that fails or is no better, the draft stands."""
        messages = repair_messages(self._messages, raw, checked.misses)
        try:
            text, usage = await self._model.ask(messages, ANSWER_SCHEMA, self._name, self._deadline)
            self._count(usage)
            again = parse_answer(text)
        except CandlecastError as error:
            log.warning("repair round failed", reason=str(error))
            return answer, checked
        checked_again = await self._checked(again.lines)
        return (again, checked_again) if len(checked_again.misses) <= len(checked.misses) else (answer, checked)

    async def _finished(self, answer: Answer, checked: Checked, repaired: int) -> Written:
        kept = answer.without(checked.unresolved)
        text = kept.text(self._language)
        if not text:
            raise BadUpstream("no sentence of the model's answer held the number check")
        report = (await self._checked(kept.lines)).report
        return Written(
            text,
            Engine.OLLAMA,
            replace(report, removed=checked.unresolved, repaired=repaired),
            model=self._name,
            model_digest=await self._digest(),
            prompt_hash=prompt_hash(self._messages),
            tokens=dict(self._tokens),
            timings_ms={"llm": round(1000.0 * (time.monotonic() - self._started), 1)},
        )

    async def _checked(self, text: str) -> Checked:
        return await asyncio.to_thread(self._check.check, text)

    async def _digest(self) -> str:
        try:
            return await self._model.digest(self._name)
        except CandlecastError:  # the answer is here; a missing digest is no reason to lose it
            return ""

    def _count(self, usage: Usage) -> None:
        self._tokens["prompt"] += usage.prompt_tokens
        self._tokens["answer"] += usage.answer_tokens
