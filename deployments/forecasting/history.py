"""What a forecast starts from: the newest closed bars of a symbol, and the times of the bars to come."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from deployments.common.errors import TooLittleHistory
from deployments.forecasting.baselines import MIN_BASELINE_BARS
from deployments.forecasting.quantiles import FloatArray
from deployments.market_data.calendars import calendar_named
from deployments.market_data.instants import to_datetime
from deployments.market_data.models import Candles, Interval


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Consecutive closed bars of one symbol as log closes (bars,), oldest first, and what is known of them.

    `last_time` opens the newest bar, `missing_bars` counts those that the calendar expects between them.
    """

    symbol: str
    interval: Interval
    log_closes: FloatArray
    last_time: datetime
    data_as_of: datetime
    stale: bool
    missing_bars: int

    def __len__(self) -> int:
        return len(self.log_closes)


def history_of(candles: Candles) -> History:
    """Return the history in an answer of market data; raises `TooLittleHistory` below what a baseline needs."""
    bars = candles.table.num_rows - candles.forming
    if bars < MIN_BASELINE_BARS:
        detail = f"{candles.symbol} has {bars} closed {candles.interval} bars, a forecast needs {MIN_BASELINE_BARS}"
        raise TooLittleHistory(detail, bars, MIN_BASELINE_BARS)
    table = candles.table.slice(0, bars)
    last_time = table["time"][-1].as_py().astimezone(UTC)
    return History(
        symbol=candles.symbol,
        interval=candles.interval,
        log_closes=np.log(table["close"].to_numpy()),
        last_time=last_time,
        data_as_of=last_time + candles.interval.delta,
        stale=candles.stale,
        missing_bars=sum(gap.bars for gap in candles.gaps),
    )


def coming_times(calendar: str, interval: Interval, last_time: datetime, n: int) -> tuple[datetime, ...]:
    """Return the openings of the `n` bars after the one of `last_time`, as the calendar named has them.

    Past the end of an exchange's published sessions the bars simply go on.
    """
    times = [to_datetime(time) for time in calendar_named(calendar).next_bars(interval, last_time, n)]
    while len(times) < n:
        times.append((times[-1] if times else last_time) + interval.delta)
    return tuple(times)
