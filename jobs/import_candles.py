"""Import a candle file into the running graph: `python -m jobs.import_candles FILE [--interval 1h] [--dry-run]`.

The file must lie where the job runs. Repeating an import changes nothing.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from deployments.common.errors import CandlecastError, Unavailable
from deployments.market_data.importing import CandleSink, ImportProgress, import_table, infer_interval, read_file
from deployments.market_data.models import IngestReport, Interval
from jobs import cluster

APPLICATION = "candlecast"


def main(arguments: Sequence[str] | None = None, connect: Callable[[], CandleSink] | None = None) -> int:
    """Run the job and return its exit status: 0, or 2 with the reason on stderr."""
    options = _options(arguments)
    try:
        table = read_file(options.file)
        interval = Interval(options.interval) if options.interval else infer_interval(table)
        _say(summary(table, interval))
        if not options.dry_run:
            sink = (connect or market_data)()
            _say(outcome(asyncio.run(import_table(table, interval, sink, _say_progress))))
    except CandlecastError as error:
        sys.stderr.write(f"import refused: {error}\n")
        return 2
    return 0


def market_data() -> CandleSink:
    """Return the running graph's market data; raises `Unavailable` where no graph runs on this cluster."""
    # Imported here, because a dry run needs no cluster.
    from ray import serve
    from ray.serve.exceptions import RayServeException

    from deployments.market_data.client import MarketDataClient

    try:
        cluster.connect()
        return MarketDataClient(serve.get_deployment_handle("MarketData", APPLICATION))
    except (ConnectionError, RayServeException) as error:
        raise Unavailable(f"no running graph to import into: {error}") from None


def summary(table: pa.Table, interval: Interval) -> str:
    """Return one line on what a file holds."""
    times = pc.min_max(table["time"]).as_py()
    symbols = ", ".join(sorted(pc.unique(table["symbol"]).to_pylist()))
    return (
        f"{table.num_rows:,} candles of {interval.value} "
        f"from {times['min']:%Y-%m-%d %H:%M} to {times['max']:%Y-%m-%d %H:%M} UTC: {symbols}"
    )


def outcome(report: IngestReport) -> str:
    """Return one line on what an import did."""
    return (
        f"{report.inserted:,} new, {report.changed:,} changed, {report.unchanged:,} as before, "
        f"{report.quarantined:,} quarantined"
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="import_candles", description="Import a candle file (csv, parquet).")
    parser.add_argument("file", type=Path)
    parser.add_argument("--interval", choices=[interval.value for interval in Interval], help="told from the file")
    parser.add_argument("--dry-run", action="store_true", help="read and check only")
    return parser.parse_args(arguments)


def _say_progress(progress: ImportProgress) -> None:
    percent = 100 * progress.done // max(progress.total, 1)
    _say(f"{percent:3d} %  {progress.done:,} of {progress.total:,} {progress.unit}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
