"""The `resolved` table: what became of each forecast, once. Written by the keeper alone."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from deployments.forecasting.judging.evaluation import PairedLosses
from deployments.forecasting.judging.resolving import Outcomes, ResolvedForecast
from deployments.forecasting.keeping.lance_table import KEY, TIME, LanceTable, instant, quoted
from deployments.forecasting.quantiles import QUANTILES, FloatArray

RESOLVED_SCHEMA = pa.schema(
    [
        KEY,
        pa.field("symbol", pa.string(), nullable=False),
        pa.field("interval", pa.string(), nullable=False),
        pa.field("horizon", pa.int32(), nullable=False),
        pa.field("model_version", pa.string()),
        pa.field("origin", TIME, nullable=False),
        pa.field("actual", pa.list_(pa.float64())),
        pa.field("raw", pa.list_(pa.float64()), nullable=False),
        pa.field("pinball", pa.float64()),
        pa.field("baseline_pinball", pa.float64()),
    ]
)
"""One forecast a row whose bars have arrived, or, with `actual` null, will not any more."""


MOST_OUTCOMES = 20_000
"""Outcomes looked at together: 90 days of nine symbols every hour, some 40 MB; of more symbols fewer each do."""


MOST_LOSSES = 500_000
"""Losses looked at together, some 40 MB: 60 days of 340 symbols every hour. A choice would change with every look."""

_IN_ORDER = [("origin", "ascending"), ("key", "ascending")]


class ResolvedStore:
    """Append and read what became of forecasts under `path`; blocking, safe across threads."""

    def __init__(self, path: Path) -> None:
        self._table = LanceTable(path, RESOLVED_SCHEMA)

    def append(self, resolved: Sequence[ResolvedForecast]) -> int:
        """Store outcomes in one transaction, leaving out those that are known; return how many were new."""
        return self._table.add([_outcome_row(one) for one in resolved])

    def keys(self, since: datetime) -> set[str]:
        """Return the keys of all outcomes of forecasts whose last bar opened since then."""
        found = self._table.dataset().to_table(columns=["key"], filter=f"origin >= {instant(since)}")
        return set(found["key"].to_pylist())

    def outcomes(self, version: str, horizon: int, since: datetime, most: int = MOST_OUTCOMES) -> Outcomes:
        """Return what became of a model version's forecasts of one horizon whose last bar opened since then.

        Of more than `most` a random choice, the same for the same table.
        """
        found = self._table.some(_arrived(version, horizon, since), most).sort_by(_IN_ORDER)
        return Outcomes(
            actual=_floats(found["actual"]).reshape(-1, horizon),
            raw=_floats(found["raw"]).reshape(-1, horizon, len(QUANTILES)),
            origins=found["origin"].to_numpy().astype("datetime64[us]"),
            pinball=found["pinball"].to_numpy(),
            baseline_pinball=found["baseline_pinball"].to_numpy(),
            symbols=np.array(found["symbol"].to_pylist(), dtype=np.str_),
        )

    def losses(
        self,
        version: str,
        horizon: int,
        since: datetime,
        earlier: Mapping[str, datetime] | None = None,
        most: int = MOST_LOSSES,
    ) -> tuple[PairedLosses, PairedLosses]:
        """Return the losses of a model version's forecasts of one horizon and of the baseline issued along.

        All whose last bar opened since then, of the symbols that `earlier` names since their own instant where that
        lies before it; of more than `most` a random choice, the same for the same table.
        """
        columns = ["key", "origin", "symbol", "pinball", "baseline_pinball"]
        condition = _arrived(version, horizon, since, earlier)
        found = self._table.some(condition, most, columns).sort_by(_IN_ORDER)
        origins = found["origin"].to_numpy().astype("datetime64[us]")
        symbols = np.array(found["symbol"].to_pylist(), dtype=np.str_)
        own, baseline = (found[name].to_numpy() for name in ("pinball", "baseline_pinball"))
        return PairedLosses(origins, own, symbols), PairedLosses(origins, baseline, symbols)

    def forget(self, before: datetime) -> None:
        """Delete the outcomes of forecasts whose last bar opened before then."""
        self._table.delete(f"origin < {instant(before)}")


def _arrived(version: str, horizon: int, since: datetime, earlier: Mapping[str, datetime] | None = None) -> str:
    alike: dict[datetime, list[str]] = defaultdict(list)
    for symbol, start in (earlier or {}).items():
        if start < since:
            alike[start].append(quoted(symbol))
    longer = [f"symbol IN ({', '.join(names)}) AND origin >= {instant(start)}" for start, names in alike.items()]
    times = " OR ".join([f"origin >= {instant(since)}", *longer])
    return f"model_version = {quoted(version)} AND horizon = {horizon} AND ({times}) AND actual IS NOT NULL"


def _outcome_row(one: ResolvedForecast) -> dict[str, object]:
    told = one.issued.forecast
    return {
        "key": one.issued.key,
        "symbol": told.symbol,
        "interval": told.interval.value,
        "horizon": told.horizon,
        "model_version": told.model.version,
        "origin": one.issued.last_time,
        "actual": None if one.actual is None else one.actual.tolist(),
        "raw": one.issued.model_quantiles.ravel().tolist(),
        "pinball": one.pinball,
        "baseline_pinball": one.baseline_pinball,
    }


def _floats(lists: pa.ChunkedArray) -> FloatArray:
    values: FloatArray = lists.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return values
