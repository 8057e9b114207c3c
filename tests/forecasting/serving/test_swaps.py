"""Twenty changes of the champion while clients keep asking: nothing fails, and every answer is of one version."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from deployments.forecasting.models import Decision, Forecast, ForecastRequest, ForecastStatus
from deployments.forecasting.registry.registry import Registry
from deployments.forecasting.service import ForecasterService
from tests.fakes.forecasting import FakeJobs, FakeModel, model_card, model_tensors
from tests.fakes.market_data import FakeMarketData, walk_table

START = datetime(2024, 2, 1, tzinfo=UTC)
BARS = 600
NOW = START + timedelta(hours=BARS, minutes=10)
SYMBOLS = tuple(f"AAA{letter}USD" for letter in "BCDEF")
SWAPS = 20
CLIENTS = 6


class Arena:
    """Two replicas on one registry, clients that never stop asking, and what they were told."""

    def __init__(self, home: Path) -> None:
        self.home = home
        tables = {symbol: walk_table(START, BARS, seed=seed) for seed, symbol in enumerate(SYMBOLS)}
        market = FakeMarketData(tables, NOW)
        self.last = {symbol: table["close"][-1].as_py() for symbol, table in tables.items()}
        self.registry = Registry(home / "models")
        self.replicas = [ForecasterService(home, market, FakeJobs(), FakeModel, self.clock) for _ in range(2)]
        self.shifts: dict[str, float] = {}
        self.answers: list[dict[str, Forecast]] = []
        self.over = False
        self._ticks = 0

    def clock(self) -> datetime:
        # Time passes with every look, so that nothing is answered from a cache for long.
        self._ticks += 1
        return NOW + timedelta(milliseconds=100 * self._ticks)

    def publish(self, number: int) -> str:
        shift = number / 1_000
        card = self.registry.publish(model_tensors(shift), model_card(NOW - timedelta(days=1, seconds=number)))
        self.shifts[card.version] = shift
        return card.version

    async def client(self, number: int) -> None:
        """Ask one replica, in turn for one symbol and for all."""
        service = self.replicas[number % 2]
        while not self.over:
            symbol = SYMBOLS[number % len(SYMBOLS)]
            self.answers.append({symbol: await service.forecast(ForecastRequest(symbol, horizon=6))})
            many = await service.forecast_batch(SYMBOLS, ForecastRequest("", horizon=12))
            told = {symbol: answer for symbol, answer in many.items() if isinstance(answer, Forecast)}
            assert len(told) == len(SYMBOLS)
            self.answers.append(told)

    async def upkeep(self) -> None:
        while not self.over:
            await asyncio.gather(*(replica.follow_champions() for replica in self.replicas))
            await asyncio.sleep(0)

    async def hear(self, answers: int, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Wait until so many answers have come; a client that ends before has failed."""
        deadline = time.monotonic() + 60
        while len(self.answers) < answers:
            assert not any(task.done() for task in tasks), "a client has failed"
            assert time.monotonic() < deadline, "the answers never came"
            await asyncio.sleep(0.001)

    def check(self) -> Counter[str]:
        """Check that each answer is what one version says, and return how often each spoke."""
        spoken: Counter[str] = Counter()
        for answer in self.answers:
            [version] = {forecast.model.version for forecast in answer.values()}
            assert version is not None
            for symbol, forecast in answer.items():
                expected = self.last[symbol] * np.exp(self.shifts[version])
                assert [point.median for point in forecast.points] == pytest.approx([expected] * forecast.horizon)
            spoken[version] += 1
        return spoken


@pytest.fixture
def arena(tmp_path: Path) -> Arena:
    return Arena(tmp_path)


async def test_swaps_under_load_fail_no_request_and_mix_no_versions(arena: Arena) -> None:
    await arena.replicas[0].promote(arena.publish(0), force=False)
    await arena.replicas[1].follow_champions()
    tasks = [asyncio.create_task(arena.client(number)) for number in range(CLIENTS)]
    tasks.append(asyncio.create_task(arena.upkeep()))
    for number in range(1, SWAPS + 1):
        version = await asyncio.to_thread(arena.publish, number)
        heard = len(arena.answers)
        await arena.replicas[number % 2].promote(version, force=False)
        await arena.hear(heard + CLIENTS, tasks)
    arena.over = True
    await asyncio.gather(*tasks)

    spoken = arena.check()
    assert len(spoken) > SWAPS / 2
    assert all(forecast.status is ForecastStatus.FRESH for answer in arena.answers for forecast in answer.values())


async def test_damaged_champion_under_load_leaves_the_former_serving_and_health_says_why(arena: Arena) -> None:
    good = arena.publish(1)
    await arena.replicas[0].promote(good, force=False)
    await arena.replicas[1].follow_champions()
    torn = arena.publish(2)
    arena.registry.promote(torn, Decision("", "promote", "good enough", NOW))
    (arena.home / "models" / "1h-h24" / torn / "weights.safetensors").write_bytes(b"torn")
    tasks = [asyncio.create_task(arena.client(number)) for number in range(CLIENTS)]
    await asyncio.gather(*(replica.follow_champions() for replica in arena.replicas))
    await arena.hear(4 * CLIENTS, tasks)
    arena.over = True
    await asyncio.gather(*tasks)

    assert set(arena.check()) == {good}
    for replica in arena.replicas:
        health = await replica.health()
        assert health.champions == {"1h-h24": torn}
        assert health.loaded == (good,)
        assert "sha256" in health.reason
