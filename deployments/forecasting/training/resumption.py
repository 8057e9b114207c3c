"""Which runs can go on where they ended, and with which candles. Pure functions only."""

from dataclasses import replace
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from deployments.common.errors import Conflict
from deployments.forecasting.models import TrainingRequest, TrainingRun, TrainingState
from deployments.forecasting.training.data import TrainingData
from deployments.market_data.models import CANDLE_SCHEMA

ALIVE_FOR = timedelta(minutes=2)
"""Time since its last word within which a run counts as under way: it reports every few seconds once it trains."""


def resumable(run: TrainingRun, now: datetime) -> TrainingRun:
    """Return a run that can go on; raises `Conflict` for one that is over or still under way."""
    if run.state is TrainingState.SUCCEEDED:
        raise Conflict(f"run {run.id} got to its end: there is nothing to go on with")
    if run.state in {TrainingState.PENDING, TrainingState.RUNNING} and now - run.updated_at < ALIVE_FOR:
        raise Conflict(f"run {run.id} is still under way: stop it first")
    return run


def reaching(request: TrainingRequest, began: datetime, now: datetime) -> TrainingRequest:
    """Return the request that reads now at least what `request` read when the run began."""
    days = request.lookback_days
    return replace(request, lookback_days=days and days + (now - began).days + 1)


def known_at(data: TrainingData, request: TrainingRequest, instant: datetime) -> TrainingData:
    """Return the candles that had closed by `instant`, `lookback_days` back from each symbol's newest of them.

    So a run that is resumed learns from what it began with.
    """
    newest = _instant(instant - request.interval.delta)
    tables = {symbol: table.filter(pc.less_equal(table["time"], newest)) for symbol, table in data.tables.items()}
    recent = {symbol: _recent(table, request.lookback_days) for symbol, table in tables.items()}
    return replace(data, tables=recent)


def _recent(table: pa.Table, days: int | None) -> pa.Table:
    if days is None or not table.num_rows:
        return table
    return table.filter(pc.greater(table["time"], _instant(table["time"][-1].as_py() - timedelta(days=days))))


def _instant(time: datetime) -> pa.Scalar:
    return pa.scalar(time, CANDLE_SCHEMA.field("time").type)
