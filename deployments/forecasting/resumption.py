"""Which runs can go on where they ended, and with which candles. Pure functions only."""

from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from deployments.common.errors import Conflict
from deployments.forecasting.models import TrainingRun, TrainingState
from deployments.forecasting.training_data import TrainingData
from deployments.market_data.models import CANDLE_SCHEMA, Interval

ALIVE_FOR = timedelta(minutes=2)
"""Time since its last word within which a run counts as under way: it reports every few seconds once it trains."""


def resumable(run: TrainingRun, now: datetime) -> TrainingRun:
    """Return a run that can go on; raises `Conflict` for one that is over or still under way."""
    if run.state is TrainingState.SUCCEEDED:
        raise Conflict(f"run {run.id} got to its end: there is nothing to go on with")
    if run.state in {TrainingState.PENDING, TrainingState.RUNNING} and now - run.updated_at < ALIVE_FOR:
        raise Conflict(f"run {run.id} is still under way: stop it first")
    return run


def known_at(data: TrainingData, interval: Interval, instant: datetime) -> TrainingData:
    """Return the candles that had closed by `instant`, so that a resumed run learns from what it began with."""
    newest = pa.scalar(instant - interval.delta, CANDLE_SCHEMA.field("time").type)
    tables = {symbol: table.filter(pc.less_equal(table["time"], newest)) for symbol, table in data.tables.items()}
    return TrainingData(tables, data.calendars)
