"""The Ray shells of knowledge: the `Knowledge` replica and its deployment-scoped actor `KnowledgeSync`."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.serve.context import _get_serve_request_context
from ray.serve.handle import DeploymentHandle

from deployments.common.clock import within
from deployments.common.errors import Unavailable
from deployments.common.lease import Lease
from deployments.common.telemetry import follow_calls, pass_over_refusals
from deployments.knowledge.embedding import Embedder
from deployments.knowledge.models import (
    AnalogueQuery,
    Analogues,
    KnowledgeHealth,
    SearchAnswer,
    SearchQuery,
    SyncStatus,
)
from deployments.knowledge.service import KnowledgeService
from deployments.knowledge.store import PassageStore
from deployments.knowledge.sync import SyncEngine, SyncPlan
from deployments.knowledge.sync_loop import SyncLoop, fence
from deployments.market_data.client import MarketDataClient

APPLICATION = "candlecast"
ACTOR = "KnowledgeSync"
STATUS_TIMEOUT_S = 3.0
SYNC_READ_TIMEOUT_S = 30.0
NICENESS = 10


class _LateHandle:
    """Reach `MarketData` at the first call: an actor of a deployment is built before the deployments it calls."""

    def __init__(self) -> None:
        self._handle: DeploymentHandle | None = None

    def __getattr__(self, method: str) -> Any:
        if self._handle is None:
            self._handle = serve.get_deployment_handle("MarketData", APPLICATION)
        return getattr(self._handle, method)


class _ActorControl:
    """Reach the sync actor, looked up for each call because the controller may have recreated it."""

    async def status(self) -> SyncStatus:
        return await self._call("status")

    async def start(self) -> SyncStatus:
        return await self._call("start")

    async def stop(self) -> SyncStatus:
        return await self._call("stop")

    async def trigger(self) -> SyncStatus:
        return await self._call("trigger")

    async def rebuild(self) -> SyncStatus:
        return await self._call("rebuild")

    async def _call(self, method: str) -> SyncStatus:
        try:
            actor = serve.get_deployment_actor(ACTOR)
        except ValueError as error:
            raise Unavailable("the knowledge sync is being started", 5.0) from error
        status: SyncStatus = await within(STATUS_TIMEOUT_S, getattr(actor, method).remote(), ACTOR)
        return status


@ray.remote
class KnowledgeSync:
    """Keep the passages table in step with market data; one per cluster, supervised by the Serve controller."""

    async def __init__(  # type: ignore[misc]  # Ray awaits it, which is how the loop finds its event loop
        self,
        home: str,
        embedding_model: str,
        device: str,
        enabled: bool,
        interval_s: float,
        batch_size: int,
        lookback_days: int,
    ) -> None:
        os.nice(NICENESS)  # embedding yields to serving and training
        lease = Lease(Path(home) / "sync.lease")
        engine = SyncEngine(
            MarketDataClient(_LateHandle(), SYNC_READ_TIMEOUT_S),
            PassageStore(Path(home) / "passages.lance"),
            Embedder(embedding_model, device),
            SyncPlan(batch_size, timedelta(days=lookback_days) if lookback_days else None),
            fence(lease),
        )
        self._loop = SyncLoop(engine, lease, Path(home) / "sync.json", interval_s, enabled)
        self._task = asyncio.create_task(self._loop.run())

    async def status(self) -> SyncStatus:
        return self._loop.status()

    async def start(self) -> SyncStatus:
        return self._loop.start()

    async def stop(self) -> SyncStatus:
        return self._loop.stop()

    async def trigger(self) -> SyncStatus:
        return self._loop.trigger()

    async def rebuild(self) -> SyncStatus:
        return self._loop.rebuild()


@serve.deployment(max_ongoing_requests=32)
class Knowledge:
    """Serve `KnowledgeService`."""

    def __init__(self, home: str, embedding_model: str, device: str, market_data: DeploymentHandle) -> None:
        follow_calls(_get_serve_request_context)
        pass_over_refusals()
        embedder = Embedder(embedding_model, device)
        # Importing and loading takes longer than a question may: a replica is ready when its model is.
        embedder.encode(["Which days rose most?"])
        store = PassageStore(Path(home) / "passages.lance")
        self._service = KnowledgeService(store, embedder, MarketDataClient(market_data), _ActorControl())

    async def search(self, query: SearchQuery) -> SearchAnswer:
        return await self._service.search(query)

    async def analogues(self, query: AnalogueQuery) -> Analogues:
        return await self._service.analogues(query)

    async def sync_status(self) -> SyncStatus:
        return await self._service.sync_status()

    async def start_sync(self) -> SyncStatus:
        return await self._service.start_sync()

    async def stop_sync(self) -> SyncStatus:
        return await self._service.stop_sync()

    async def trigger_sync(self) -> SyncStatus:
        return await self._service.trigger_sync()

    async def rebuild(self) -> SyncStatus:
        return await self._service.rebuild()

    async def health(self) -> KnowledgeHealth:
        return await self._service.health()
