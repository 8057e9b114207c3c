"""Numbers about the running system."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any, TypeVar

import psutil

from deployments.common.errors import CandlecastError
from deployments.forecasting.models import ModelCard, ModelList
from deployments.gateway.parts import Parts
from deployments.gateway.wire.kept_answers import KeptAnswers
from deployments.market_data.models import SymbolFilter

T = TypeVar("T")

STARTED = time.monotonic()


async def system_stats(parts: Parts) -> dict[str, Any]:
    """Return what the deployments and this replica count; null where a deployment does not answer."""
    services = parts.services
    answers, models, runs, page, replicas = await asyncio.gather(
        parts.board.answers(),
        _known(services.forecaster.models()),
        _known(services.forecaster.training_runs()),
        _known(services.market_data.managed_symbols(SymbolFilter(limit=1_000))),
        parts.cluster.replicas(),
    )
    knowledge = answers.knowledge.health
    return {
        "version": parts.settings.version,
        "uptime_s": round(time.monotonic() - STARTED, 1),
        "counts": {
            "managed_symbols": None if page is None else len(page.symbols),
            "passages": None if knowledge is None else knowledge.passages,
            "models": None if models is None else len(models.models),
            "training_runs": None if runs is None else len(runs),
        },
        "queues": {
            "query_log_pending": parts.queries.pending,
            "query_log_lost": parts.queries.lost,
            "event_listeners": parts.hub.listeners,
        },
        "cache": _kept("candle", parts.candles) | _kept("forecast", parts.forecasts),
        "replicas": replicas,
        "process": {"rss_bytes": psutil.Process().memory_info().rss},
        "champions": [] if models is None else _champions(models, parts),
        "keeper": answers.forecaster.health.keeper if answers.forecaster.health else None,
        "sync_lag_seconds": knowledge.sync.lag_seconds if knowledge and knowledge.sync else None,
    }


def _kept(name: str, answers: KeptAnswers[Any]) -> dict[str, int]:
    return {
        f"{name}_answers": answers.entries,
        f"{name}_bytes": answers.bytes,
        f"{name}_hits": answers.hits,
        f"{name}_misses": answers.misses,
    }


def _champions(models: ModelList, parts: Parts) -> list[dict[str, Any]]:
    cards: dict[str, ModelCard] = {card.version: card for card in models.models}
    now = parts.clock()
    return [
        {
            "champion_of": name,
            "version": version,
            "age_s": (now - cards[version].trained_at).total_seconds() if version in cards else None,
        }
        for name, version in models.champions.items()
    ]


async def _known(answer: Awaitable[T]) -> T | None:
    try:
        return await answer
    except CandlecastError:
        return None
