"""Import candles into the running graph, from files or from EasyInsight's history.

    python -m jobs.import_candles FILE... [--interval 1h] [--dry-run]
    python -m jobs.import_candles --from-easyinsight [--symbols A,B] [--interval 1h] [--start DATE] [--end DATE]
        [--direction forward|backward|both] [--gaps] [--dry-run]

Files must lie where the job runs. Repeating an import changes nothing; one that was cut off is started again.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from deployments.common.clock import Clock, utc_now
from deployments.common.errors import CandlecastError, InvalidRequest, Unavailable
from deployments.common.settings import EasyInsightSettings
from deployments.market_data.easyinsight.source import EasyInsightSource
from deployments.market_data.ingest.filling import Direction, Wish
from deployments.market_data.ingest.history import (
    ListingSource,
    ManagedMarket,
    by_symbol,
    contents,
    import_history,
    names_of,
    outcome,
    progress_line,
    wish_of,
)
from deployments.market_data.ingest.importing import ImportProgress, import_table, interval_of, preview, read_file
from deployments.market_data.models import Interval
from jobs import cluster

APPLICATION = "candlecast"
SOURCE_TIMEOUT_S = 60.0


class ClosableSource(ListingSource, Protocol):
    """EasyInsight."""

    async def aclose(self) -> None: ...


def main(
    arguments: Sequence[str] | None = None,
    connect: Callable[[], ManagedMarket] | None = None,
    open_source: Callable[[], ClosableSource] | None = None,
    clock: Clock = utc_now,
) -> int:
    """Run the job and return its exit status: 0, or 2 with the reason on stderr."""
    options = _options(arguments)
    try:
        if options.from_easyinsight:
            interval, direction = Interval(options.interval or "1h"), Direction(options.direction)
            wish = wish_of(interval, options.start, options.end, direction, options.gaps, options.dry_run, clock)
            asyncio.run(_from_source(options, wish, (connect or market_data)(), (open_source or easyinsight)()))
        else:
            tables = _read(options)
            asyncio.run(_from_files(tables, options.dry_run, (connect or market_data)()))
    except CandlecastError as error:
        sys.stderr.write(f"import refused: {error}\n")
        return 2
    return 0


def _read(options: argparse.Namespace) -> list[tuple[pa.Table, Interval]]:
    """Read and check every file before the first row is sent."""
    tables = [read_file(file) for file in options.files]
    said = Interval(options.interval) if options.interval else None
    intervals = [interval_of(table, said) for table in tables]
    found = list(zip(tables, intervals, strict=True))
    _say(*(contents(table, interval) for table, interval in found))
    return found


async def _from_files(tables: Sequence[tuple[pa.Table, Interval]], dry_run: bool, market: ManagedMarket) -> None:
    for table, interval in tables:
        if dry_run:
            _say(*by_symbol(await preview(table, interval, market)))
        else:
            _say(outcome(await import_table(table, interval, market, _say_progress)))


async def _from_source(options: argparse.Namespace, wish: Wish, market: ManagedMarket, source: ClosableSource) -> None:
    try:
        _say(*by_symbol(await import_history(source, market, names_of(options.symbols), wish, _say_progress)))
    finally:
        await source.aclose()


def market_data() -> ManagedMarket:
    """Return the running graph's market data; raises `Unavailable` where no graph runs on this cluster."""
    # Imported here, because reading a file needs no cluster.
    from ray import serve
    from ray.serve.exceptions import RayServeException

    from deployments.market_data.client import MarketDataClient

    try:
        cluster.connect()
        return MarketDataClient(serve.get_deployment_handle("MarketData", APPLICATION))
    except (ConnectionError, RayServeException) as error:
        raise Unavailable(f"no running graph to import into: {error}") from None


def easyinsight() -> ClosableSource:
    """Return EasyInsight as the environment names it; raises `InvalidRequest` where it does not."""
    url = EasyInsightSettings.read().api_url
    if not url:
        raise InvalidRequest("EASYINSIGHT_API_URL is empty", (("EASYINSIGHT_API_URL", "is empty"),))
    return EasyInsightSource(url, SOURCE_TIMEOUT_S)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="import_candles", description="Import candles from files or EasyInsight.")
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE", help="csv or parquet")
    parser.add_argument("--interval", choices=[interval.value for interval in Interval], help="of a file: told from it")
    parser.add_argument("--dry-run", action="store_true", help="say what would change, for each symbol")
    parser.add_argument("--from-easyinsight", action="store_true", help="read EasyInsight's history")
    parser.add_argument("--symbols", default="", help="comma-separated; every enabled symbol otherwise")
    parser.add_argument("--start", default="", help="the earliest bar; as far back as the source goes otherwise")
    parser.add_argument("--end", default="", help="bars closed by then; now otherwise")
    parser.add_argument("--direction", choices=[one.value for one in Direction], default=Direction.BOTH.value)
    parser.add_argument("--gaps", action="store_true", help="fill holes between stored bars, too")
    options = parser.parse_args(arguments)
    if bool(options.files) == options.from_easyinsight:
        parser.error("name files or --from-easyinsight, one of the two")
    return options


def _say_progress(progress: ImportProgress) -> None:
    _say(progress_line(progress))


def _say(*lines: str) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
