"""How the graph is: every deployment and dependency asked at once, each with its own deadline."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from deployments.analysis.models import AnalystHealth
from deployments.common.clock import within
from deployments.common.errors import CandlecastError
from deployments.common.telemetry import logger
from deployments.forecasting.models import ForecasterHealth
from deployments.gateway.models import HealthEntry, HealthReport
from deployments.gateway.services import Services
from deployments.knowledge.models import KnowledgeHealth
from deployments.market_data.models import DependencyHealth, MarketDataHealth

log = logger(__name__)

T = TypeVar("T")

SERVICE = "candlecast"
HEALTHY, DEGRADED, UNHEALTHY, ABSENT = "healthy", "degraded", "unhealthy", "absent"

_WORDS = {"ok": HEALTHY, "up": HEALTHY, "down": UNHEALTHY, "unavailable": UNHEALTHY}
"""Other contexts' words for the states of what they depend on, in ours."""


@dataclass(frozen=True, slots=True)
class Asked(Generic[T]):
    """What a deployment said of itself, or why it said nothing."""

    health: T | None
    latency_ms: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the four deployments said."""

    market_data: Asked[MarketDataHealth]
    forecaster: Asked[ForecasterHealth]
    knowledge: Asked[KnowledgeHealth]
    analyst: Asked[AnalystHealth]


class HealthBoard:
    """Ask the deployments how they are, at most once every `keep_s` seconds however many want to know."""

    def __init__(
        self,
        services: Services,
        version: str,
        deadline_s: float,
        keep_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._services = services
        self._version = version
        self._deadline_s = deadline_s
        self._keep_s = keep_s
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._known: tuple[float, Answers] | None = None

    async def answers(self) -> Answers:
        """Return what the deployments say, as of at most `keep_s` seconds ago; never fails."""
        async with self._lock:
            if self._known is None or self._monotonic() - self._known[0] >= self._keep_s:
                answers = await self._ask_all()
                self._known = (self._monotonic(), answers)
            return self._known[1]

    async def report(self) -> HealthReport:
        """Return the state of the graph; never fails."""
        return judge(await self.answers(), self._version)

    async def _ask_all(self) -> Answers:
        market_data, forecaster, knowledge, analyst = await asyncio.gather(
            self._ask("MarketData", self._services.market_data.health),
            self._ask("Forecaster", self._services.forecaster.health),
            self._ask("Knowledge", self._services.knowledge.health),
            self._ask("Analyst", self._services.analyst.health),
        )
        return Answers(market_data, forecaster, knowledge, analyst)

    async def _ask(self, name: str, ask: Callable[[], Awaitable[T]]) -> Asked[T]:
        began = time.perf_counter()
        health, reason = None, ""
        try:
            health = await within(self._deadline_s, ask(), name)
        except CandlecastError as error:
            reason = str(error)
        except Exception as error:
            reason = "failed; the log says more"
            log.error("health question failed", exc_info=error, deployment=name)
        return Asked(health, round((time.perf_counter() - began) * 1000, 2), reason)


def judge(answers: Answers, version: str) -> HealthReport:
    """Put the answers together: unhealthy without candles, degraded without anything else."""
    entries = (*_deployments(answers), *_dependencies(answers))
    market_data = answers.market_data.health
    knowledge = answers.knowledge.health
    return HealthReport(
        SERVICE,
        _overall(entries),
        version,
        market_data.database_host if market_data else None,
        knowledge.sync.state.value if knowledge and knowledge.sync else "unknown",
        entries,
    )


def _deployments(answers: Answers) -> tuple[HealthEntry, ...]:
    forecaster, knowledge = answers.forecaster, answers.knowledge
    return (
        HealthEntry("Gateway", "deployment", HEALTHY, 0.0, ""),
        _deployment("MarketData", answers.market_data),
        _deployment("Forecaster", forecaster, forecaster.health.reason if forecaster.health else ""),
        _deployment("Knowledge", knowledge, knowledge.health.reason if knowledge.health else ""),
        _deployment("Analyst", answers.analyst),
    )


def _deployment(name: str, asked: Asked[T], complaint: str = "") -> HealthEntry:
    if asked.health is None:
        return HealthEntry(name, "deployment", UNHEALTHY, asked.latency_ms, asked.reason)
    return HealthEntry(name, "deployment", DEGRADED if complaint else HEALTHY, asked.latency_ms, complaint)


def _dependencies(answers: Answers) -> tuple[HealthEntry, ...]:
    market_data, analyst = answers.market_data.health, answers.analyst.health
    seen = tuple(_dependency(item) for item in market_data.dependencies) if market_data else ()
    if analyst is None:
        return seen
    return (*seen, _dependency(DependencyHealth("ollama", analyst.ollama, None, analyst.reason)))


def _dependency(item: DependencyHealth) -> HealthEntry:
    return HealthEntry(item.name, "dependency", _WORDS.get(item.status, item.status), item.latency_ms, item.reason)


def _overall(entries: tuple[HealthEntry, ...]) -> str:
    if any(entry.name == "MarketData" and entry.status == UNHEALTHY for entry in entries):
        return UNHEALTHY
    if any(entry.status not in {HEALTHY, ABSENT} for entry in entries):
        return DEGRADED
    return HEALTHY
