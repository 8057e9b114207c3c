"""What may enter the candle tables: rows of the right shape, each judged by the refusing checks."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from deployments.common.errors import InvalidRequest
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, QuarantinedRow
from deployments.market_data.quality import screen
from deployments.market_data.symbols import canonical

MAX_INGEST_ROWS = 200_000

_NULLABLE = pa.schema([field.with_nullable(True) for field in SYMBOL_CANDLE_SCHEMA])


@dataclass(frozen=True, slots=True)
class Admission:
    """Rows to store under canonical symbols, and by symbol those to keep aside."""

    good: pa.Table
    refused: Mapping[str, tuple[QuarantinedRow, ...]]

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols of the good rows, ascending."""
        return tuple(sorted(pc.unique(self.good["symbol"]).to_pylist()))


def admit(rows: pa.Table, now: datetime) -> Admission:
    """Judge rows with `SYMBOL_CANDLE_SCHEMA` in any order; raises `InvalidRequest` naming the column."""
    named = _canonical_symbols(_shaped(rows))
    good: list[pa.Table] = []
    refused: dict[str, tuple[QuarantinedRow, ...]] = {}
    for symbol in pc.unique(named["symbol"]).to_pylist():
        sound, aside = screen(named.filter(pc.equal(named["symbol"], symbol)), now)
        good.append(sound)
        if aside:
            refused[symbol] = aside
    return Admission(pa.concat_tables(good) if good else named, refused)


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
    return shaped


def _canonical_symbols(rows: pa.Table) -> pa.Table:
    symbols = rows["symbol"].combine_chunks().dictionary_encode()
    names = pa.array([canonical(name) for name in symbols.dictionary.to_pylist()], pa.string())
    return rows.set_column(0, _NULLABLE.field("symbol"), names.take(symbols.indices))


def _invalid(field: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"{field} {reason}", ((field, reason),))
