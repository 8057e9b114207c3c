"""The `forecasts` table in Lance: every forecast issued, once. The only file here that imports lance."""

import threading
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from deployments.forecasting.issued import IssuedForecast, points_of
from deployments.forecasting.models import Forecast, ForecastStatus, ModelRef
from deployments.forecasting.quantiles import QUANTILES, FloatArray
from deployments.market_data.models import Interval

_TIME = pa.timestamp("us", tz="UTC")

FORECAST_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("symbol", pa.string(), nullable=False),
        pa.field("interval", pa.string(), nullable=False),
        pa.field("horizon", pa.int32(), nullable=False),
        pa.field("last_time", _TIME, nullable=False),
        pa.field("last_close", pa.float64(), nullable=False),
        pa.field("scale", pa.float64(), nullable=False),
        pa.field("issued_at", _TIME, nullable=False),
        pa.field("data_as_of", _TIME, nullable=False),
        pa.field("expires_at", _TIME, nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("model_name", pa.string(), nullable=False),
        pa.field("model_version", pa.string()),
        pa.field("trained_at", _TIME),
        pa.field("levels", pa.list_(pa.float64()), nullable=False),
        pa.field("warnings", pa.list_(pa.string()), nullable=False),
        pa.field("times", pa.list_(_TIME), nullable=False),
        pa.field("quantiles", pa.list_(pa.float64()), nullable=False),
        pa.field("baseline", pa.list_(pa.float64()), nullable=False),
    ]
)
"""One issued forecast a row; quantiles are log prices, steps after one another, nine each."""

COMPACT_EVERY = 50
"""Appends between compactions: each leaves a file and a version behind."""

KEPT_VERSIONS = timedelta(hours=1)
"""Age from which old table versions go: longer than any read takes."""


class ForecastStore:
    """Append and read issued forecasts under `path`; blocking, opened at first use, safe across threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._appends = 0

    def append(self, issued: Sequence[IssuedForecast]) -> int:
        """Store forecasts in one transaction, leaving out those whose key is there; return how many were new."""
        if not issued:
            return 0
        rows = pa.Table.from_pylist([_row(one) for one in {one.key: one for one in issued}.values()], FORECAST_SCHEMA)
        with self._lock:
            done = self._dataset().merge_insert("key").when_not_matched_insert_all().execute(rows)
            self._appends += 1
            if self._appends % COMPACT_EVERY == 0:
                self._compact()
        return int(done["num_inserted_rows"])

    def newest(
        self, symbol: str | None = None, limit: int = 500, since: datetime | None = None
    ) -> tuple[IssuedForecast, ...]:
        """Return stored forecasts, of one symbol or of all, newest first; `since` bounds when they were issued."""
        # Imported here and below: lance takes a third of a second to load, which plain imports need not pay.
        from lance.dataset import ColumnOrdering

        order = [ColumnOrdering("last_time", ascending=False), ColumnOrdering("issued_at", ascending=False)]
        found = self._dataset().scanner(filter=_condition(symbol, since), limit=limit, order_by=order).to_table()
        return tuple(_issued(row) for row in found.to_pylist())

    def _dataset(self) -> Any:
        import lance

        try:
            return lance.dataset(str(self._path))
        except ValueError:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                return lance.write_dataset(FORECAST_SCHEMA.empty_table(), str(self._path), mode="create")
            except OSError:
                # Another replica was quicker.
                return lance.dataset(str(self._path))

    def _compact(self) -> None:
        dataset = self._dataset()
        dataset.optimize.compact_files()
        dataset.cleanup_old_versions(older_than=KEPT_VERSIONS)


def _condition(symbol: str | None, since: datetime | None) -> str | None:
    conditions = []
    if symbol is not None:
        quoted = symbol.replace("'", "''")
        conditions.append(f"symbol = '{quoted}'")
    if since is not None:
        conditions.append(f"issued_at >= timestamp '{since.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00:00'")
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
        "times": [point.time for point in told.points],
        "quantiles": one.quantiles.ravel().tolist(),
        "baseline": one.baseline.ravel().tolist(),
    }


def _issued(row: dict[str, Any]) -> IssuedForecast:
    quantiles, times, levels = _grid(row["quantiles"]), tuple(map(_utc, row["times"])), tuple(row["levels"])
    trained_at = row["trained_at"]
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
    )
    return IssuedForecast(
        forecast, _utc(row["last_time"]), row["last_close"], row["scale"], quantiles, _grid(row["baseline"])
    )


def _grid(values: list[float]) -> FloatArray:
    return np.asarray(values, dtype=np.float64).reshape(-1, len(QUANTILES))


def _utc(time: datetime) -> datetime:
    return time.astimezone(UTC)
