"""The analyst: gather, write, check, store; and later, score what was said."""

import asyncio
import re
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from uuid import UUID

from deployments.analysis.codec import plain
from deployments.analysis.facts import build_fact_sheet
from deployments.analysis.findings import Findings
from deployments.analysis.gathering import Gatherer
from deployments.analysis.models import (
    Analysis,
    AnalysisEvent,
    AnalysisRequest,
    AnalystHealth,
    CheckReport,
    FactSheet,
)
from deployments.analysis.score import outcome_query, score
from deployments.analysis.store import AnalysisStore
from deployments.analysis.writer import LanguageModel, Piece, Writer, Written
from deployments.common.clock import Clock, utc_now
from deployments.common.errors import CandlecastError, InvalidRequest
from deployments.common.telemetry import logger

log = logger(__name__)

MAX_QUESTION = 2000
MAX_HORIZON = 168
MAX_LISTED = 200
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")


class AnalystService:
    """Write analyses from what the other contexts know."""

    def __init__(
        self, gatherer: Gatherer, model: LanguageModel | None, store: AnalysisStore, clock: Clock = utc_now
    ) -> None:
        self._gatherer = gatherer
        self._model = model
        self._writer = Writer(model)
        self._store = store
        self._clock = clock

    async def analyze(self, request: AnalysisRequest) -> Analysis:
        """Write, check and store an analysis.

        Raises `InvalidRequest`, and what reading the candles raises; any other source may fail.
        """
        async with aclosing(self._stages(request)) as stages:
            return [stage async for stage in stages if isinstance(stage, Analysis)][-1]

    async def analyze_stream(self, request: AnalysisRequest) -> AsyncGenerator[AnalysisEvent]:
        """Yield `facts`, then `token` for each piece of text, `check`, and `done` with the whole analysis.

        Pieces have passed the number check; those of another engine replace the ones before, `done` replaces all.
        """
        async with aclosing(self._stages(request)) as stages:
            async for stage in stages:
                for event in _events(stage):
                    yield event

    async def analyses(self, symbol: str | None, limit: int) -> tuple[Analysis, ...]:
        """Return stored analyses, newest first, scored where their horizon has passed."""
        if not 1 <= limit <= MAX_LISTED:
            raise InvalidRequest("limit is out of range", (("limit", f"1 to {MAX_LISTED}"),))
        found = await asyncio.to_thread(self._store.newest, symbol, limit)
        return tuple(await asyncio.gather(*map(self._scored, found)))

    async def analysis(self, analysis_id: str) -> Analysis:
        """Return one stored analysis; raises `UnknownAnalysis`."""
        return await self._scored(await asyncio.to_thread(self._store.get, analysis_id))

    async def health(self) -> AnalystHealth:
        """Return whether the language model answers."""
        if self._model is None:
            return AnalystHealth("absent", "", "OLLAMA_URL is not set")
        return await self._model.health()

    async def _stages(self, request: AnalysisRequest) -> AsyncGenerator[FactSheet | Piece | Analysis]:
        _validate(request)
        started = time.monotonic()
        findings = await self._gatherer.gather(request)
        sheet = await asyncio.to_thread(build_fact_sheet, request, findings)
        gathered_ms = round(1000.0 * (time.monotonic() - started), 1)
        yield sheet
        async with aclosing(self._writer.write(sheet, request)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Piece):
                    yield piece
                    continue
                total_ms = round(1000.0 * (time.monotonic() - started), 1)
                timings = {"gather": gathered_ms, **piece.timings_ms, "total": total_ms}
                analysis = self._signed(request, findings, sheet, replace(piece, timings_ms=timings))
                await asyncio.to_thread(self._store.put, analysis)
                log.info("analysis written", symbol=sheet.symbol, engine=piece.engine, duration_ms=total_ms)
                yield analysis

    def _signed(self, request: AnalysisRequest, findings: Findings, sheet: FactSheet, written: Written) -> Analysis:
        now = self._clock()
        return Analysis(
            id=sortable_id(now),
            symbol=sheet.symbol,
            interval=request.interval,
            horizon=request.horizon,
            created_at=now,
            data_as_of=sheet.as_of,
            stale=findings.candles.stale,
            language=request.language,
            question=request.question,
            engine=written.engine,
            engine_reason=written.engine_reason,
            model=written.model,
            text=written.text,
            facts=sheet.facts,
            passages=sheet.passages,
            check=written.check,
            prompt_hash=written.prompt_hash,
            model_digest=written.model_digest,
            tokens=written.tokens,
            timings_ms=written.timings_ms,
        )

    async def _scored(self, analysis: Analysis) -> Analysis:
        query = None if analysis.score is not None else outcome_query(analysis, self._clock())
        if query is None:
            return analysis
        try:
            result = score(analysis, await self._gatherer.candles(query))
        except CandlecastError as error:
            log.warning("outcome not readable", symbol=analysis.symbol, reason=str(error))
            return analysis
        if result is None:
            return analysis
        scored = replace(analysis, score=result)
        await asyncio.to_thread(self._store.put, scored)
        return scored


def sortable_id(now: datetime) -> str:
    """Return a new UUID of version 7: ids sort by the millisecond of their making."""
    milliseconds = (now - datetime.fromtimestamp(0, now.tzinfo)) // timedelta(milliseconds=1)
    number = milliseconds << 80 | secrets.randbits(80)
    number = number & ~(0xF << 76) | 0x7 << 76
    return str(UUID(int=number & ~(0x3 << 62) | 0x2 << 62))


def _validate(request: AnalysisRequest) -> None:
    wrong: list[tuple[str, str]] = []
    if len(request.question) > MAX_QUESTION:
        wrong.append(("question", f"at most {MAX_QUESTION} characters"))
    if not 1 <= request.horizon <= MAX_HORIZON:
        wrong.append(("horizon", f"1 to {MAX_HORIZON} bars"))
    if request.model is not None and not _MODEL_NAME.fullmatch(request.model):
        wrong.append(("model", "the name of an Ollama model"))
    if request.as_of is not None and request.as_of.tzinfo is None:
        wrong.append(("as_of", "an instant with its time zone"))
    if wrong:
        raise InvalidRequest("the analysis cannot be asked for like this", tuple(wrong))


def _events(stage: FactSheet | Piece | Analysis) -> list[AnalysisEvent]:
    if isinstance(stage, FactSheet):
        return [AnalysisEvent("facts", plain(stage))]
    if isinstance(stage, Piece):
        return [AnalysisEvent("token", plain(stage))]
    return [AnalysisEvent("check", _report(stage.check)), AnalysisEvent("done", plain(stage))]


def _report(check: CheckReport) -> object:
    return plain({**asdict(check), "passed": check.passed})
