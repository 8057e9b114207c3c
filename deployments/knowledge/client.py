"""Knowledge as other contexts see it: a Serve handle with deadlines, typed. Knows no Ray."""

from typing import Any

from deployments.common.clock import within
from deployments.knowledge.models import (
    AnalogueQuery,
    Analogues,
    KnowledgeHealth,
    SearchAnswer,
    SearchQuery,
    SyncStatus,
)

TIMEOUT_S = 15.0


class KnowledgeClient:
    """Call the `Knowledge` deployment through `handle` (a `DeploymentHandle` or anything of its shape)."""

    def __init__(self, handle: Any, timeout_s: float = TIMEOUT_S) -> None:
        self._handle = handle
        self._timeout_s = timeout_s

    async def _call(self, method: str, *args: object) -> Any:
        return await within(self._timeout_s, getattr(self._handle, method).remote(*args), "Knowledge")

    async def search(self, query: SearchQuery) -> SearchAnswer:
        """Return the passages nearest to a question."""
        result: SearchAnswer = await self._call("search", query)
        return result

    async def analogues(self, query: AnalogueQuery) -> Analogues:
        """Return past windows of the same shape and what followed; raises `TooLittleHistory`."""
        result: Analogues = await self._call("analogues", query)
        return result

    async def sync_status(self) -> SyncStatus:
        """Return where the sync stands."""
        result: SyncStatus = await self._call("sync_status")
        return result

    async def start_sync(self) -> SyncStatus:
        """Let the sync run periodically; survives restarts."""
        result: SyncStatus = await self._call("start_sync")
        return result

    async def stop_sync(self) -> SyncStatus:
        """Stop the periodic sync after the batch under way; survives restarts."""
        result: SyncStatus = await self._call("stop_sync")
        return result

    async def trigger_sync(self) -> SyncStatus:
        """Run a cycle now, or join the one that runs; returns at once."""
        result: SyncStatus = await self._call("trigger_sync")
        return result

    async def rebuild(self) -> SyncStatus:
        """Drop every passage and index anew; returns at once."""
        result: SyncStatus = await self._call("rebuild")
        return result

    async def health(self) -> KnowledgeHealth:
        """Return how much is indexed and how the sync does."""
        result: KnowledgeHealth = await self._call("health")
        return result
