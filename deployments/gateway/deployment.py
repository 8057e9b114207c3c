"""The gateway as a replica: the ingress of the graph, by HTTP and by handle."""

import asyncio
from dataclasses import replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
from fastapi import FastAPI
from ray import serve
from ray.serve.context import _get_serve_request_context, _serve_request_context
from ray.serve.handle import DeploymentHandle
from ray.serve.metrics import Counter

from deployments.analysis.client import AnalystClient
from deployments.common.telemetry import logger, pass_over_refusals
from deployments.forecasting.client import ForecasterClient
from deployments.gateway.access.keys import KeyRing
from deployments.gateway.app import create_app
from deployments.gateway.meter import Tags, Tally
from deployments.gateway.python_api import PythonApi
from deployments.gateway.services import Services
from deployments.gateway.settings import GatewaySettings
from deployments.knowledge.client import KnowledgeClient
from deployments.market_data.client import MarketDataClient

log = logger(__name__)

METER_S = 5.0
"""How often Ray's own agent collects metrics, at best."""


class ServeCluster:
    """Count replicas as the Serve controller does, and name requests to the replicas that they reach by handle."""

    def carry(self, identity: str) -> None:
        """Put a request id where Serve's handles look for it."""
        context = _get_serve_request_context()
        # A route marks calls made for an HTTP request; a task of our own has none yet.
        _serve_request_context.set(replace(context, request_id=identity, route=context.route or "/"))

    async def replicas(self) -> dict[str, int]:
        """Return the running replicas of each deployment; empty where the controller does not answer."""
        try:
            status = await asyncio.wait_for(asyncio.to_thread(serve.status), 2.0)
        except Exception as error:  # a statistic must not fail the others
            log.warning("replicas not counted", reason=type(error).__name__)
            return {}
        return {
            name: deployment.replica_states.get("RUNNING", 0)
            for application in status.applications.values()
            for name, deployment in application.deployments.items()
        }


class ServeMeter:
    """Hand what a tally counted to Ray's metrics, off the requests' path: one record there takes some 70 µs."""

    def __init__(self) -> None:
        tags = ("endpoint", "method", "status")
        self.tally = Tally(self._wake)
        self._counters = {
            "requests": Counter("candlecast_requests", "Answered requests.", tags),
            "request_ms": Counter("candlecast_request_ms_sum", "Milliseconds that requests took.", tags),
            "request_ms_bucket": Counter(
                "candlecast_request_ms_bucket", "Requests that took at most le.", (*tags, "le")
            ),
            "candle_reads": Counter("candlecast_candle_reads", "From memory or from MarketData.", ("outcome",)),
            "forecast_reads": Counter("candlecast_forecast_reads", "From memory or from the Forecaster.", ("outcome",)),
        }

    def _wake(self) -> None:
        asyncio.get_running_loop().call_later(METER_S, self._publish)

    def _publish(self) -> None:
        counts = self.tally.take()
        asyncio.get_running_loop().run_in_executor(None, self._record, counts)

    def _record(self, counts: dict[tuple[str, Tags], float]) -> None:
        for (name, tags), count in counts.items():
            self._counters[name].inc(count, dict(tags))


# Event streams hold their place for hours; the default of 5 requests at once would lock everybody else out.
@serve.deployment(name="Gateway", max_ongoing_requests=1_000, ray_actor_options={"num_cpus": 0.1})
@serve.ingress()
class Gateway:
    """Serve HTTP and Python callers from the four contexts' handles.

    `home` holds keys and sessions, `dashboard_dir` the built dashboard. A `public` gateway refuses to start before
    there is a key. `rate_per_s` and `rate_burst` bound the requests of each key.
    """

    def __init__(
        self,
        home: str,
        dashboard_dir: str,
        public: bool,
        market_data: DeploymentHandle,
        forecaster: DeploymentHandle,
        knowledge: DeploymentHandle,
        analyst: DeploymentHandle,
        rate_per_s: float = 200.0,
        rate_burst: int = 600,
    ) -> None:
        pass_over_refusals()
        if public and not KeyRing(Path(home) / "auth").list():
            raise RuntimeError("a public gateway needs a key first: candlecast keys create")
        self._settings = GatewaySettings(
            Path(home),
            Path(dashboard_dir),
            version=_version(),
            rate_per_s=rate_per_s,
            burst=rate_burst,
            server_adds_request_id=True,
        )
        self._services = Services(
            MarketDataClient(market_data),
            ForecasterClient(forecaster),
            KnowledgeClient(knowledge),
            AnalystClient(analyst),
        )
        self._python = PythonApi(self._services)

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Return the app; Serve calls this inside the replica, after the constructor."""
        return create_app(self._services, self._settings, ServeCluster(), meter=ServeMeter().tally)

    async def forecast(
        self,
        symbol: str,
        interval: str = "1h",
        horizon: int = 24,
        level: tuple[float, ...] = (80, 90),
        as_of: datetime | str | None = None,
    ) -> dict[str, Any]:
        """Return a forecast as the HTTP answer has it."""
        return await self._python.forecast(symbol, interval, horizon, level, as_of)

    async def candles(
        self,
        symbol: str,
        interval: str = "1h",
        lookback_days: float | None = None,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        limit: int | None = None,
        as_of: datetime | str | None = None,
    ) -> pd.DataFrame:
        """Return candles as a frame, ascending by opening time."""
        return await self._python.candles(
            symbol, interval=interval, lookback_days=lookback_days, start=start, end=end, limit=limit, as_of=as_of
        )

    async def analyze(self, symbol: str, **wanted: Any) -> dict[str, Any]:
        """Return an analysis as the HTTP answer has it; `wanted` are the fields of the HTTP request."""
        return await self._python.analyze(symbol, **wanted)


def _version() -> str:
    try:
        return version("candlecast")
    except PackageNotFoundError:  # the code travels to a cluster without being installed there
        return "unknown"
