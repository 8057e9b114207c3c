"""Score a model version on stored candles: `python -m jobs.backtest [VERSION] [--days 30] [--symbols A,B]`.

Without a version the champion of `--interval` and `--horizon`. Reads candles through the running graph's `MarketData`
and the version from the registry; changes nothing.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta

from deployments.common.errors import CandlecastError, NothingTrained, Unavailable
from deployments.common.settings import StackSettings
from deployments.forecasting.backtesting import backtest, described
from deployments.forecasting.models import TrainingRequest
from deployments.forecasting.predicting.predictor import Predictor
from deployments.forecasting.registry.registry import Registry
from deployments.forecasting.training.data import MarketData, training_data
from deployments.market_data.models import Interval
from jobs import cluster
from jobs.options import day_count, interval

APPLICATION = "candlecast"
READ_TIMEOUT_S = 120.0


def main(arguments: Sequence[str] | None = None, connect: Callable[[], MarketData] | None = None) -> int:
    """Run the job and return its exit status: 0, or 2 with the reason on stderr."""
    options = _options(arguments)
    settings = StackSettings.read()
    registry = Registry(settings.model_registry or settings.candlecast_home.resolve() / "models")
    try:
        for line in lines_of(options, registry, connect or market_data):
            sys.stdout.write(f"{line}\n")
    except CandlecastError as error:
        sys.stderr.write(f"backtest refused: {error}\n")
        return 2
    return 0


def lines_of(options: argparse.Namespace, registry: Registry, connect: Callable[[], MarketData]) -> Sequence[str]:
    """Carry the backtest out and return what it found."""
    version = options.version or registry.champion(options.interval, options.horizon)
    if version is None:
        raise NothingTrained(f"no model for {options.horizon} bars of {options.interval} has been promoted yet")
    tensors, card = registry.load(version)
    symbols = tuple(symbol.strip() for symbol in options.symbols.split(",") if symbol.strip())
    request = TrainingRequest(symbols, card.interval, card.horizon)
    data = asyncio.run(training_data(connect(), request))
    panel = data.panel(card.interval)
    since = panel.data_end - timedelta(days=options.days)
    return tuple(described(backtest(panel, card, Predictor(tensors, card.config), since)))


def market_data() -> MarketData:
    """Return the running graph's market data; raises `Unavailable` where no graph runs on this cluster."""
    # Imported here, so that the rest runs without a cluster.
    from ray import serve
    from ray.serve.exceptions import RayServeException

    from deployments.market_data.client import MarketDataClient

    try:
        cluster.connect()
        return MarketDataClient(serve.get_deployment_handle("MarketData", APPLICATION), READ_TIMEOUT_S)
    except (ConnectionError, RayServeException) as error:
        raise Unavailable(f"no running graph to read candles from: {error}") from None


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="backtest", description="Score a model version on stored candles.")
    parser.add_argument("version", nargs="?", default="", help="by default the champion")
    parser.add_argument("--interval", type=interval, default=Interval.H1, help="of the champion")
    parser.add_argument("--horizon", type=int, default=24, help="of the champion")
    parser.add_argument("--days", type=day_count, default=30.0, help="of the newest bars to forecast")
    parser.add_argument("--symbols", default="", help="comma separated; by default every enabled symbol")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
