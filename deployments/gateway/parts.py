"""What the routes work with, built once per app."""

from collections.abc import AsyncIterator, Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Protocol, TypeVar

from fastapi import Depends, Request

from deployments.common.clock import Clock
from deployments.gateway.access.keys import KeyRing
from deployments.gateway.access.limits import RateLimiter, StreamSlots
from deployments.gateway.access.login import LoginLinks, Sessions
from deployments.gateway.events import EventHub
from deployments.gateway.health import HealthBoard
from deployments.gateway.meter import Meter
from deployments.gateway.query_log import QueryLog
from deployments.gateway.services import Services
from deployments.gateway.settings import GatewaySettings
from deployments.gateway.watch import Watch, forecast_sight
from deployments.gateway.wire.candle_answers import CandleSource, WantedCandles
from deployments.gateway.wire.forecast_answers import ForecastSource, WantedForecasts
from deployments.gateway.wire.kept_answers import KeptAnswers, Source
from deployments.gateway.wire.sse import EventStream, ServerEvent

Question = TypeVar("Question", bound=Hashable)


class Cluster(Protocol):
    """Where the deployments run; only the shell knows."""

    async def replicas(self) -> dict[str, int]:
        """Return the running replicas of each deployment."""
        ...

    def carry(self, identity: str) -> None:
        """Have the calls by handle that this task makes from now on carry a request id."""
        ...


class SingleProcess:
    """No cluster: the app runs by itself, as in tests."""

    async def replicas(self) -> dict[str, int]:
        return {}

    def carry(self, identity: str) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Parts:
    services: Services
    settings: GatewaySettings
    clock: Clock
    cluster: Cluster
    keys: KeyRing
    links: LoginLinks
    sessions: Sessions
    limiter: RateLimiter
    streams: StreamSlots
    queries: QueryLog
    board: HealthBoard
    hub: EventHub
    candles: KeptAnswers[WantedCandles]
    forecasts: KeptAnswers[WantedForecasts]
    meter: Meter


def build_parts(
    services: Services,
    settings: GatewaySettings,
    cluster: Cluster,
    clock: Clock,
    meter: Meter,
    monotonic: Callable[[], float],
) -> Parts:
    """Put the gateway's own objects together; creates `home/auth` with the session secret where it is missing."""
    auth = settings.home / "auth"
    board = HealthBoard(services, settings.version, settings.health_deadline_s, settings.health_keep_s)

    def kept(source: Source[Question], max_bytes: int, name: str) -> KeptAnswers[Question]:
        return KeptAnswers(source, max_bytes, cluster.carry, partial(meter.read, name), monotonic)

    def doubt() -> None:
        candles.doubt()
        forecasts.doubt()

    hub = EventHub(Watch(services, board, clock).look, clock, settings.event_poll_s, settings.event_keep_s, doubt)
    told_forecasts = ForecastSource(services.forecaster, lambda forecast: hub.observe(forecast_sight(forecast)))
    candles = kept(CandleSource(services.market_data), settings.candle_answers_bytes, "candle_reads")
    forecasts = kept(told_forecasts, settings.forecast_answers_bytes, "forecast_reads")
    return Parts(
        services,
        settings,
        clock,
        cluster,
        KeyRing(auth, clock),
        LoginLinks(auth, clock),
        Sessions(auth, clock),
        RateLimiter(settings.rate_per_s, settings.burst),
        StreamSlots(settings.streams_per_key),
        QueryLog(services.market_data.query_log, settings.query_log_flush_s),
        board,
        hub,
        candles,
        forecasts,
        meter,
    )


def stream_of(request: Request, events: AsyncIterator[ServerEvent]) -> EventStream:
    """Return the answer that streams events to a caller; raises `RateLimited` where it listens to enough already."""
    parts = parts_of(request)
    ended = parts.streams.take(request.state.caller.name)
    return EventStream(events, parts.settings.heartbeat_s, ended)


def parts_of(request: Request) -> Parts:
    """Return the parts of the app that serves a request."""
    parts: Parts = request.app.state.parts
    return parts


def services_of(request: Request) -> Services:
    """Return the contexts behind the app that serves a request."""
    return parts_of(request).services


# Plain functions as dependencies would each run in a thread; these are looked up in the loop.
async def _parts(request: Request) -> Parts:
    return parts_of(request)


async def _services(request: Request) -> Services:
    return services_of(request)


PartsGiven = Annotated[Parts, Depends(_parts)]
ServicesGiven = Annotated[Services, Depends(_services)]
