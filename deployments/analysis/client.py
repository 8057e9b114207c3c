"""Analysis as the gateway sees it: a Serve handle with deadlines, typed. Knows no Ray."""

from collections.abc import AsyncIterator
from typing import Any

from deployments.analysis.models import Analysis, AnalysisEvent, AnalysisRequest, AnalystHealth
from deployments.common.clock import within
from deployments.common.errors import meaning_of

ANALYSIS_TIMEOUT_S = 180.0
"""Longer than the Analyst's own deadline for the LLM, which answers by template when it runs out."""
TIMEOUT_S = 10.0


class AnalystClient:
    """Call the `Analyst` deployment through `handle` (a `DeploymentHandle` or anything of its shape)."""

    def __init__(self, handle: Any, timeout_s: float = TIMEOUT_S) -> None:
        self._handle = handle
        self._timeout_s = timeout_s

    async def analyze(self, request: AnalysisRequest) -> Analysis:
        """Write, check and store an analysis."""
        result: Analysis = await within(ANALYSIS_TIMEOUT_S, self._handle.analyze.remote(request), "Analyst")
        return result

    async def analyze_stream(self, request: AnalysisRequest) -> AsyncIterator[AnalysisEvent]:
        """Yield the analysis as it comes into being; the last event is `done` and carries the whole."""
        try:
            async for event in self._handle.options(stream=True).analyze_stream.remote(request):
                yield event
        except Exception as error:
            meaning = meaning_of(error, "Analyst")
            if meaning is None:
                raise
            raise meaning from None

    async def analyses(self, symbol: str | None, limit: int) -> tuple[Analysis, ...]:
        """Return stored analyses, newest first."""
        result: tuple[Analysis, ...] = await within(
            self._timeout_s, self._handle.analyses.remote(symbol, limit), "Analyst"
        )
        return result

    async def analysis(self, analysis_id: str) -> Analysis:
        """Return one stored analysis; raises `UnknownAnalysis`."""
        result: Analysis = await within(self._timeout_s, self._handle.analysis.remote(analysis_id), "Analyst")
        return result

    async def health(self) -> AnalystHealth:
        """Return whether the LLM answers."""
        result: AnalystHealth = await within(self._timeout_s, self._handle.health.remote(), "Analyst")
        return result
