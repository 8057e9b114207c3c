"""The Ray shell of analysis."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve.context import _get_serve_request_context
from ray.serve.handle import DeploymentHandle

from deployments.analysis.gathering import Gatherer
from deployments.analysis.models import Analysis, AnalysisEvent, AnalysisRequest, AnalystHealth
from deployments.analysis.ollama import OllamaModel
from deployments.analysis.service import AnalystService
from deployments.analysis.store import AnalysisStore
from deployments.common.settings import OllamaSettings
from deployments.common.telemetry import follow_calls, pass_over_refusals
from deployments.forecasting.client import ForecasterClient
from deployments.knowledge.client import KnowledgeClient
from deployments.market_data.client import MarketDataClient


@serve.deployment(name="Analyst", max_ongoing_requests=32)
class Analyst:
    """Explain the picture of a symbol, every number checked.

    `home` is `CANDLECAST_HOME`; `ollama` holds the fields of `OllamaSettings`, an empty `url` means there is none.
    """

    def __init__(
        self,
        home: str,
        ollama: dict[str, Any],
        market_data: DeploymentHandle,
        forecaster: DeploymentHandle,
        knowledge: DeploymentHandle,
    ) -> None:
        follow_calls(_get_serve_request_context)
        pass_over_refusals()
        settings = OllamaSettings.model_validate(ollama)
        self._service = AnalystService(
            Gatherer(MarketDataClient(market_data), ForecasterClient(forecaster), KnowledgeClient(knowledge)),
            OllamaModel(settings) if settings.url else None,
            AnalysisStore(Path(home) / "analyses.lance"),
        )

    async def analyze(self, request: AnalysisRequest) -> Analysis:
        return await self._service.analyze(request)

    async def analyze_stream(self, request: AnalysisRequest) -> AsyncIterator[AnalysisEvent]:
        # Closed at once when the reader leaves, so that the language model stops writing for nobody.
        async with aclosing(self._service.analyze_stream(request)) as events:
            async for event in events:
                yield event

    async def analyses(self, symbol: str | None, limit: int) -> tuple[Analysis, ...]:
        return await self._service.analyses(symbol, limit)

    async def analysis(self, analysis_id: str) -> Analysis:
        return await self._service.analysis(analysis_id)

    async def health(self) -> AnalystHealth:
        return await self._service.health()
