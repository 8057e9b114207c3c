"""The feed's actor and the import job in a small Ray of their own, market data being a stub."""

import asyncio
import pathlib
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uvicorn

from deployments.common.clock import utc_now
from deployments.local_stack.demo_bars import DemoHistory
from deployments.local_stack.demo_market import create_app
from deployments.market_data.client import MarketDataClient
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, CandleQuery, Interval, SymbolFilter
from jobs.import_candles import main
from tests.fakes.market_data import walk_table

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOUR = timedelta(hours=1)
STORED = 5
DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def demo_url() -> Iterator[str]:
    """A demo market on a port of its own."""
    app = create_app(DemoHistory(seed=7, days=30, now=utc_now()))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    limit = time.monotonic() + DEADLINE_S
    while not server.started:
        assert time.monotonic() < limit, "the demo market did not start"
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(DEADLINE_S)


def build(url: str) -> Any:
    from ray import serve
    from ray.serve.config import DeploymentActorConfig

    from deployments.market_data.deployment import CandleFeed
    from tests.fakes.market_data import FakeMarketData

    feed = DeploymentActorConfig(
        name="CandleFeed",
        actor_class=CandleFeed,
        init_kwargs={"easyinsight_url": url, "interval_s": 0.5},
        actor_options={"num_cpus": 0},
    )

    @serve.deployment(name="MarketData", ray_actor_options={"num_cpus": 0}, deployment_actors=[feed])
    class StubMarketData(FakeMarketData):
        def __init__(self) -> None:
            now = utc_now()
            start = now.replace(minute=0, second=0, microsecond=0) - 24 * HOUR
            super().__init__({"BTCUSD": walk_table(start, STORED)}, now)

    stub: Any = StubMarketData
    return stub.bind()


@pytest.fixture(scope="module")
def client(demo_url: str) -> Iterator[MarketDataClient]:
    """Market data of a running application."""
    ray = pytest.importorskip("ray")
    from ray import serve

    # A unix socket path may have 107 bytes, so Ray's session stays short.
    session = tempfile.mkdtemp(prefix="cc-ray-")
    ray.init(
        address="local",
        num_cpus=1,
        include_dashboard=False,
        _temp_dir=session,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
    )
    try:
        serve.start(proxy_location="Disabled")
        yield MarketDataClient(serve.run(build(demo_url), name="candlecast", route_prefix=None))
    finally:
        serve.shutdown()
        ray.shutdown()
        shutil.rmtree(session, ignore_errors=True)


async def test_the_actor_carries_the_bars_that_the_database_lacks(client: MarketDataClient) -> None:
    limit = time.monotonic() + DEADLINE_S
    query = CandleQuery("BTCUSD", Interval.H1, lookback_days=1)
    while (answer := await client.candles(query)).table.num_rows < 23:
        assert time.monotonic() < limit, f"only {answer.table.num_rows} bars arrived"
        await asyncio.sleep(0.1)
    assert not answer.gaps
    assert not answer.stale


def test_the_job_imports_a_file_into_the_running_graph(client: MarketDataClient, tmp_path: pathlib.Path) -> None:
    table = walk_table(datetime(2024, 1, 1, tzinfo=UTC), 48)
    named = pa.table([pa.array(["ETHUSD"] * 48), *table.columns], schema=SYMBOL_CANDLE_SCHEMA)
    pq.write_table(named, tmp_path / "candles.parquet")
    assert main([str(tmp_path / "candles.parquet")]) == 0
    page = asyncio.run(client.managed_symbols(SymbolFilter()))
    assert [symbol.symbol for symbol in page.symbols] == ["BTCUSD", "ETHUSD"]
