"""What may enter the candle tables: rows of the right shape, each judged by the checks, under its symbol's one name."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deployments.common.errors import InvalidRequest
from deployments.market_data.findings import QuarantinedRow
from deployments.market_data.instants import EPOCH, times_of, to_numpy, width
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, Interval
from deployments.market_data.quality.checks import AT_THE_DOOR, REFUSING, Mask, refused
from deployments.market_data.quality.sequence import Codes, running_back, told_again
from deployments.market_data.symbols.names import canonical

MAX_INGEST_ROWS = 200_000

_NULLABLE = pa.schema([field.with_nullable(True) for field in SYMBOL_CANDLE_SCHEMA])
_REASONS = REFUSING | AT_THE_DOOR


@dataclass(frozen=True, slots=True)
class Admission:
    """Rows to store under the symbols' own names, and by symbol those to keep aside."""

    good: pa.Table
    refused: Mapping[str, tuple[QuarantinedRow, ...]]

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols of the good rows, ascending."""
        return tuple(sorted(pc.unique(self.good["symbol"]).to_pylist()))


def admit(rows: pa.Table, interval: Interval, now: datetime, aliases: Mapping[str, str]) -> Admission:
    """Judge rows with `SYMBOL_CANDLE_SCHEMA`; raises `InvalidRequest` naming the column.

    `aliases` maps canonical names to the symbols that have them. Where two spellings tell the same bar, the symbol's
    own wins, and the later of two rows with one spelling.
    """
    shaped = _shaped(rows)
    told = shaped["symbol"].combine_chunks().dictionary_encode()
    spellings = told.dictionary.to_pylist()
    symbols = [aliases.get(name, name) for name in map(canonical, spellings)]
    named = shaped.set_column(0, _NULLABLE.field("symbol"), pa.array(symbols, pa.string()).take(told.indices))
    rank = np.array(
        [(name == own) + (canonical(name) == own) for name, own in zip(spellings, symbols, strict=True)], np.int8
    )
    codes = told.indices.to_numpy()
    checks = refused(named, now)
    checks["unfinished"] = _unfinished(named, interval, now) & ~checks["future_time"]
    checks |= _sequence_checks(named, codes, rank[codes], ~_any(checks))
    bad = _any(checks)
    return Admission(named.filter(pa.array(~bad)), _aside(named, checks, np.flatnonzero(bad)))


def _unfinished(rows: pa.Table, interval: Interval, now: datetime) -> Mask:
    late: Mask = times_of(rows) + width(interval.delta) > to_numpy(now)
    return late


def _sequence_checks(rows: pa.Table, told_as: Codes, rank: Codes, sound: Mask) -> dict[str, Mask]:
    """Judge the order among the rows that are sound in themselves: a broken one shadows nothing."""
    times = times_of(rows)
    found = {name: np.zeros(len(times), dtype=np.bool_) for name in ("out_of_order", "duplicate")}
    left = np.flatnonzero(sound)
    found["out_of_order"][left] = running_back(told_as[left], times[left])
    left = left[~found["out_of_order"][left]]
    symbols = rows["symbol"].combine_chunks().dictionary_encode().indices.to_numpy()
    found["duplicate"][left] = told_again(symbols[left], times[left], rank[left])
    return found


def _any(checks: Mapping[str, Mask]) -> Mask:
    hit: Mask = np.logical_or.reduce(list(checks.values()))
    return hit


def _aside(rows: pa.Table, checks: Mapping[str, Mask], bad: np.ndarray) -> dict[str, tuple[QuarantinedRow, ...]]:
    found: dict[str, list[QuarantinedRow]] = {}
    for place, row in zip(bad, rows.take(pa.array(bad)).to_pylist(), strict=True):
        check = next(name for name in _REASONS if checks[name][place])
        symbol = row.pop("symbol")
        found.setdefault(symbol, []).append(QuarantinedRow(check=check, reason=_REASONS[check], **row))
    return {symbol: tuple(told) for symbol, told in found.items()}


def _shaped(rows: pa.Table) -> pa.Table:
    missing = [name for name in _NULLABLE.names if name not in rows.column_names]
    if missing:
        raise _invalid(missing[0], "is missing")
    if rows.num_rows > MAX_INGEST_ROWS:
        raise _invalid("rows", f"may be at most {MAX_INGEST_ROWS:,} at once")
    try:
        shaped = rows.select(_NULLABLE.names).cast(_NULLABLE).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise _invalid("rows", f"do not have the candle schema: {error}") from None
    for name in ("symbol", "time"):
        if shaped[name].null_count:
            raise _invalid(name, "is empty in some rows")
    _refuse_absurd_times(shaped)
    return shaped


def _refuse_absurd_times(rows: pa.Table) -> None:
    """Refuse years that neither a read nor a datetime can name; they are mostly epochs in another unit."""
    times = times_of(rows)
    if len(times) and (times.min() < to_numpy(EPOCH) or times.max() >= _YEAR_10000):
        absurd = times.min() if times.min() < to_numpy(EPOCH) else times.max()
        raise _invalid("time", f"must lie between 1970 and 9999, not at {absurd}")


_YEAR_10000 = np.datetime64("9999-12-31", "us")


def _invalid(field: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"{field} {reason}", ((field, reason),))
