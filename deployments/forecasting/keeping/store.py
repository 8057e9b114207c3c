"""The `forecasts` table: every forecast issued, once."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from deployments.forecasting.issued import IssuedForecast, points_of
from deployments.forecasting.keeping.lance_table import KEY, TIME, LanceTable, instant, quoted
from deployments.forecasting.models import Fallback, FallbackCause, Forecast, ForecastStatus, ModelRef
from deployments.forecasting.quantiles import QUANTILES, FloatArray
from deployments.market_data.models import Interval

FORECAST_SCHEMA = pa.schema(
    [
        KEY,
        pa.field("symbol", pa.string(), nullable=False),
        pa.field("interval", pa.string(), nullable=False),
        pa.field("horizon", pa.int32(), nullable=False),
        pa.field("last_time", TIME, nullable=False),
        pa.field("last_close", pa.float64(), nullable=False),
        pa.field("scale", pa.float64(), nullable=False),
        pa.field("issued_at", TIME, nullable=False),
        pa.field("data_as_of", TIME, nullable=False),
        pa.field("expires_at", TIME, nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("model_name", pa.string(), nullable=False),
        pa.field("model_version", pa.string()),
        pa.field("trained_at", TIME),
        pa.field("levels", pa.list_(pa.float64()), nullable=False),
        pa.field("warnings", pa.list_(pa.string()), nullable=False),
        pa.field("times", pa.list_(TIME), nullable=False),
        pa.field("quantiles", pa.list_(pa.float64()), nullable=False),
        pa.field("baseline", pa.list_(pa.float64()), nullable=False),
        pa.field("raw", pa.list_(pa.float64())),
        pa.field("fallback_cause", pa.string()),
        pa.field("fallback_reason", pa.string()),
    ]
)
"""One issued forecast a row; quantiles are log prices, steps after one another, nine each.

`raw` are the model's own where a recalibration changed them.
"""


class ForecastStore:
    """Append and read issued forecasts under `path`; blocking, safe across threads."""

    def __init__(self, path: Path) -> None:
        self._table = LanceTable(path, FORECAST_SCHEMA)

    def append(self, issued: Sequence[IssuedForecast]) -> int:
        """Store forecasts in one transaction, leaving out those whose key is there; return how many were new."""
        return self._table.add([_row(one) for one in {one.key: one for one in issued}.values()])

    def newest(
        self,
        symbol: str | None = None,
        limit: int = 500,
        since: datetime | None = None,
        ended: datetime | None = None,
        interval: Interval | None = None,
        horizon: int | None = None,
    ) -> tuple[IssuedForecast, ...]:
        """Return stored forecasts, of one symbol or of all, newest first.

        `since` bounds when they were issued, `ended` when the last bar that they speak of opened.
        """
        found = self._table.newest(
            _condition(symbol, since, ended, interval, horizon), limit, by=("last_time", "issued_at")
        )
        return tuple(_issued(row) for row in found.to_pylist())

    def keys(self, since: datetime) -> pa.Table:
        """Return `key`, `interval`, `horizon` and `last_time` of the forecasts issued since then, oldest first."""
        columns = ["key", "interval", "horizon", "last_time"]
        found: pa.Table = self._table.dataset().to_table(columns=columns, filter=_condition(None, since))
        return found.sort_by("last_time")

    def with_keys(self, keys: Sequence[str]) -> tuple[IssuedForecast, ...]:
        """Return the forecasts with these keys, in any order."""
        if not keys:
            return ()
        names = ", ".join(quoted(key) for key in keys)
        return tuple(_issued(row) for row in self._table.dataset().to_table(filter=f"key IN ({names})").to_pylist())

    def forget(self, before: datetime) -> None:
        """Delete the forecasts issued before then."""
        self._table.delete(f"issued_at < {instant(before)}")


def _condition(
    symbol: str | None,
    since: datetime | None,
    ended: datetime | None = None,
    interval: Interval | None = None,
    horizon: int | None = None,
) -> str | None:
    conditions = []
    if symbol is not None:
        conditions.append(f"symbol = {quoted(symbol)}")
    if since is not None:
        conditions.append(f"issued_at >= {instant(since)}")
    if ended is not None:
        conditions.append(f"array_element(times, -1) <= {instant(ended)}")
    if interval is not None:
        conditions.append(f"`interval` = {quoted(interval.value)}")  # a word of SQL's own
    if horizon is not None:
        conditions.append(f"horizon = {horizon:d}")
    return " AND ".join(conditions) or None


def _row(one: IssuedForecast) -> dict[str, object]:
    told = one.forecast
    own = {name: getattr(one, name) for name in ("key", "last_time", "last_close", "scale")}
    same = {field.name: getattr(told, field.name) for field in fields(told) if field.name in FORECAST_SCHEMA.names}
    return {
        **own,
        **same,
        "model_name": told.model.name,
        "model_version": told.model.version,
        "trained_at": told.model.trained_at,
        "fallback_cause": told.fallback.cause.value if told.fallback else None,
        "fallback_reason": told.fallback.reason if told.fallback else None,
        "times": [point.time for point in told.points],
        "quantiles": one.quantiles.ravel().tolist(),
        "baseline": one.baseline.ravel().tolist(),
        "raw": None if one.raw is None else one.raw.ravel().tolist(),
    }


def _issued(row: dict[str, Any]) -> IssuedForecast:
    quantiles, times, levels = _grid(row["quantiles"]), tuple(map(_utc, row["times"])), tuple(row["levels"])
    trained_at, cause = row["trained_at"], row["fallback_cause"]
    forecast = Forecast(
        symbol=row["symbol"],
        interval=Interval(row["interval"]),
        horizon=row["horizon"],
        issued_at=_utc(row["issued_at"]),
        data_as_of=_utc(row["data_as_of"]),
        expires_at=_utc(row["expires_at"]),
        status=ForecastStatus(row["status"]),
        model=ModelRef(row["model_name"], row["model_version"], _utc(trained_at) if trained_at else None),
        levels=levels,
        points=points_of(quantiles, times, levels),
        skill=None,
        warnings=tuple(row["warnings"]),
        # Rows of an older release tell no cause.
        fallback=Fallback(FallbackCause(cause), row["fallback_reason"]) if cause else None,
    )
    return IssuedForecast(
        forecast=forecast,
        last_time=_utc(row["last_time"]),
        last_close=row["last_close"],
        scale=row["scale"],
        quantiles=quantiles,
        baseline=_grid(row["baseline"]),
        raw=None if row["raw"] is None else _grid(row["raw"]),
    )


def _grid(values: list[float]) -> FloatArray:
    return np.asarray(values, dtype=np.float64).reshape(-1, len(QUANTILES))


def _utc(time: datetime) -> datetime:
    return time.astimezone(UTC)
