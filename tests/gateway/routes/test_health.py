"""Health in one word and in full: it answers whatever is broken."""

import asyncio
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI

from deployments.common.errors import Unavailable
from deployments.gateway.app import create_app
from deployments.gateway.health import HealthBoard
from deployments.gateway.models import HealthReport
from deployments.gateway.settings import GatewaySettings
from deployments.market_data.models import DependencyHealth, MarketDataHealth
from tests.fakes.gateway import FakeMarket, Fakes


class SilentMarket(FakeMarket):
    """A MarketData that never answers."""

    async def health(self) -> MarketDataHealth:
        await asyncio.Event().wait()
        raise AssertionError


class AilingMarket(FakeMarket):
    """A MarketData whose database is away."""

    async def health(self) -> MarketDataHealth:
        return MarketDataHealth("db.example", (DependencyHealth("timescaledb", "down", None, "refused"),))


async def report_of(fakes: Fakes, market: FakeMarket | None = None) -> HealthReport:
    services = replace(fakes.services, market_data=market or fakes.market_data)
    return await HealthBoard(services, "1", deadline_s=0.05, keep_s=0.0).report()


async def test_everything_well_is_healthy(fakes: Fakes) -> None:
    report = await report_of(fakes)
    assert report.status == "healthy"
    assert (report.timescaledb_host, report.sync_service_status) == ("db.example", "running")
    assert {entry.name: entry.status for entry in report.entries} == {
        "Gateway": "healthy",
        "MarketData": "healthy",
        "Forecaster": "healthy",
        "Knowledge": "healthy",
        "Analyst": "healthy",
        "timescaledb": "healthy",
        "ollama": "absent",
    }


async def test_database_away_is_degraded_with_the_reason(fakes: Fakes) -> None:
    report = await report_of(fakes, AilingMarket())
    assert report.status == "degraded"
    assert ("timescaledb", "refused") in {(entry.name, entry.reason) for entry in report.entries}


async def test_silent_market_data_is_unhealthy_within_the_deadline(fakes: Fakes) -> None:
    report = await report_of(fakes, SilentMarket())
    assert report.status == "unhealthy"
    assert report.timescaledb_host is None
    entry = next(entry for entry in report.entries if entry.name == "MarketData")
    assert "did not answer" in entry.reason


@pytest.mark.parametrize("error", [Unavailable("restarting"), RuntimeError("secret")])
async def test_open_health_answers_200_and_tells_no_secret(
    error: Exception, fakes: Fakes, anyone: httpx.AsyncClient
) -> None:
    fakes.market_data.error = error
    answer = await anyone.get("/health")
    assert answer.status_code == 200
    assert answer.json() == {
        "service": "candlecast",
        "status": "unhealthy",
        "version": "1.2.3",
        "timescaledb_host": None,
        "sync_service_status": "running",
    }


@pytest.mark.parametrize("path", ["/livez", "/health"])
async def test_health_checkers_may_ask_for_the_head_alone(path: str, anyone: httpx.AsyncClient) -> None:
    answer = await anyone.head(path)
    assert (answer.status_code, answer.content) == (200, b"")


async def test_crowd_of_questions_is_one_question(fakes: Fakes, settings: GatewaySettings) -> None:
    app = create_app(fakes.services, replace(settings, health_keep_s=60.0))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://candlecast.test") as client:
        await asyncio.gather(*(client.get("/health") for _ in range(20)))
    assert fakes.market_data.calls == 1


async def test_statistics_answer_while_market_data_is_away(fakes: Fakes, reader: httpx.AsyncClient) -> None:
    fakes.market_data.error = Unavailable("gone")
    body = (await reader.get("/api/v1/system/stats")).json()
    assert body["counts"] == {"managed_symbols": None, "passages": 1, "models": 1, "training_runs": 1}
    assert body["champions"] == [{"champion_of": "1h-h24", "version": "v1", "age_s": 2_723_400.0}]
    assert body["process"]["rss_bytes"] > 0


async def test_app_that_stops_hands_over_what_the_query_log_holds(
    app: FastAPI, fakes: Fakes, reader: httpx.AsyncClient
) -> None:
    async with app.router.lifespan_context(app):
        await reader.get("/api/v1/accuracy")
    assert [entry.endpoint for entry in fakes.market_data.entries] == ["/api/v1/accuracy"]
