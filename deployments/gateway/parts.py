"""What the routes work with, built once per app."""

from dataclasses import dataclass
from typing import Annotated, Protocol

from fastapi import Depends, Request

from deployments.common.clock import Clock, utc_now
from deployments.gateway.events import EventHub
from deployments.gateway.health import HealthBoard
from deployments.gateway.keys import KeyRing
from deployments.gateway.limits import RateLimiter
from deployments.gateway.login import LoginLinks, Sessions
from deployments.gateway.query_log import QueryLog
from deployments.gateway.services import Services
from deployments.gateway.settings import GatewaySettings
from deployments.gateway.watch import Watch


class Cluster(Protocol):
    """Where the deployments run; only the shell knows."""

    async def replicas(self) -> dict[str, int]:
        """Return the running replicas of each deployment."""
        ...


class SingleProcess:
    """No cluster: the app runs by itself, as in tests."""

    async def replicas(self) -> dict[str, int]:
        return {}


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
    queries: QueryLog
    board: HealthBoard
    hub: EventHub


def build_parts(services: Services, settings: GatewaySettings, cluster: Cluster, clock: Clock = utc_now) -> Parts:
    """Put the gateway's own objects together; creates `home/auth` with the session secret where it is missing."""
    auth = settings.home / "auth"
    board = HealthBoard(services, settings.version, settings.health_deadline_s, settings.health_keep_s)
    watch = Watch(services, board, clock)
    return Parts(
        services,
        settings,
        clock,
        cluster,
        KeyRing(auth, clock),
        LoginLinks(auth, clock),
        Sessions(auth, clock),
        RateLimiter(settings.rate_per_s, settings.burst),
        QueryLog(services.market_data.query_log, settings.query_log_flush_s),
        board,
        EventHub(watch.look, clock, settings.event_poll_s, settings.event_keep_s),
    )


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
