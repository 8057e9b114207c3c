"""Sync, search and analogues on real candles."""

import pathlib
from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq
import pytest

from deployments.knowledge.models import AnalogueQuery, PassageKind, SearchQuery, SyncState, SyncStatus
from deployments.knowledge.service import KnowledgeService
from deployments.knowledge.store import PassageStore
from deployments.knowledge.sync import SyncEngine, SyncPlan
from deployments.market_data.models import CANDLE_SCHEMA
from tests.fakes.knowledge import WordEncoder
from tests.fakes.market_data import FakeMarketData

END = datetime(2023, 4, 1, tzinfo=UTC)


@pytest.fixture
def source(shared_data: pathlib.Path) -> FakeMarketData:
    span = [("time", ">=", END - timedelta(days=90)), ("time", "<", END)]
    tables = {
        symbol: pq.read_table(shared_data / "crypto_1h.parquet", filters=[*span, ("symbol", "=", symbol)])
        for symbol in ("BTCUSDT", "ETHUSDT")
    }
    tables = {symbol: rows.select(CANDLE_SCHEMA.names).cast(CANDLE_SCHEMA) for symbol, rows in tables.items()}
    return FakeMarketData(tables, END)


class NoSync:
    async def status(self) -> SyncStatus:
        return SyncStatus(SyncState.STOPPED, False, None, None, 0, None, None)

    start = stop = trigger = rebuild = status


async def test_real_month_is_indexed_found_and_compared(source: FakeMarketData, tmp_path: pathlib.Path) -> None:
    store, encoder = PassageStore(tmp_path / "passages.lance"), WordEncoder()
    engine = SyncEngine(source, store, encoder, SyncPlan(512, timedelta(days=5)), clock=lambda: END)
    await engine.run_cycle()
    assert engine.progress.watermark() == END - timedelta(hours=1)

    service = KnowledgeService(store, encoder, source, NoSync())
    answer = await service.search(SearchQuery("BTC on 30 March 2023", kind=PassageKind.DAY))
    (hit,) = answer.hits
    assert hit.text.startswith("BTCUSDT day 2023-03-30")
    assert "its month" in hit.text

    found = await service.analogues(AnalogueQuery("ETHUSDT"))
    assert len(found.matches) == 10
    assert found.unconditional.quantiles["10"] < found.unconditional.quantiles["90"]
