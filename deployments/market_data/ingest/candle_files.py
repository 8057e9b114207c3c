"""Candle files of others: CSV and Parquet in, one checked table out, or an error that names the cell."""

from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from deployments.common.errors import InvalidRequest
from deployments.market_data.cells import BadCell, number_column, text_column, time_column
from deployments.market_data.instants import EPOCH, times_of, width
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, Interval
from deployments.market_data.symbols.names import canonical

SUFFIXES = (".csv", ".parquet")


def read_file(path: Path) -> pa.Table:
    """Return a file's candles with `SYMBOL_CANDLE_SCHEMA`, ascending by (time, symbol).

    Columns may come in any case and order beside others; times as `time_column` reads them. Empty numbers become NaN
    and bars may come twice: the ingest keeps such rows aside and says so.

    Raises `InvalidRequest` naming file, row (and line of a CSV), column and value.
    """
    names, table = _raw(path)
    if not table.num_rows:
        raise _refused("file", f"{path.name} holds no rows")
    columns = [_column(path, name, names[name], table[names[name]]) for name in SYMBOL_CANDLE_SCHEMA.names]
    table = pa.table(columns, schema=SYMBOL_CANDLE_SCHEMA)
    # Stable: of rows that tell one bar the last in the file stays the last.
    return table.sort_by([("time", "ascending"), ("symbol", "ascending")]).combine_chunks()


def interval_of(table: pa.Table, said: Interval | None = None) -> Interval:
    """Return the interval of a file's bars, as it was said or as they tell.

    Raises `InvalidRequest` where they tell none of ours, or lie closer together than was said.
    """
    if said is None:
        return infer_interval(table)
    apart = _spacing(table)
    if apart is not None and apart < width(said.delta):
        raise _refused("interval", f"bars are mostly {apart.item()} apart, so they are none of {said.value}")
    return said


def infer_interval(table: pa.Table) -> Interval:
    """Return the interval that most symbols' bars are apart; raises `InvalidRequest` where that is none of ours."""
    spacing = _spacing(table)
    if spacing is None:
        raise _refused("interval", "cannot be told from single bars: say which it is")
    for interval in Interval:
        if width(interval.delta) == spacing:
            return interval
    known = ", ".join(interval.value for interval in Interval)
    raise _refused("interval", f"bars are mostly {spacing.item()} apart, which is none of {known}: say which it is")


def _spacing(table: pa.Table) -> np.timedelta64 | None:
    """Return how far symbols' bars mostly are apart, or None where no symbol has two."""
    symbols = table["symbol"].combine_chunks().dictionary_encode().indices.to_numpy()
    order = np.argsort(symbols, kind="stable")
    apart = np.diff(times_of(table)[order])[np.diff(symbols[order]) == 0]
    apart = apart[apart > np.timedelta64(0)]  # a bar told twice says nothing
    return np.median(apart.astype(np.int64)).astype(np.int64).astype("timedelta64[us]") if len(apart) else None


def _raw(path: Path) -> tuple[dict[str, str], pa.Table]:
    """Return the file's own names of our columns, and the columns."""
    if path.suffix.lower() not in SUFFIXES:
        raise _refused("file", f"{path.name} is neither of {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise _refused("file", f"{path} does not exist or is no file")
    is_csv = path.suffix.lower() == ".csv"
    try:
        names = _own_names(path, _csv_header(path) if is_csv else pq.read_schema(path).names)
        wanted = list(names.values())
        return names, _read_csv(path, wanted) if is_csv else pq.read_table(path, columns=wanted)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise _refused("file", f"{path.name} cannot be read as {path.suffix.lower()[1:]}: {reason}") from None


def _csv_header(path: Path) -> list[str]:
    with pa_csv.open_csv(path) as reader:
        header: list[str] = reader.schema.names
        return header


def _read_csv(path: Path, wanted: list[str]) -> pa.Table:
    # As text, so that a cell that is wrong can be shown as it stands in the file.
    options = pa_csv.ConvertOptions(column_types=dict.fromkeys(wanted, pa.string()), include_columns=wanted)
    return pa_csv.read_csv(path, convert_options=options)


def _own_names(path: Path, header: list[str]) -> dict[str, str]:
    """Return how the file spells each of our columns."""
    found: dict[str, str] = {}
    for own in header:
        name = own.strip().lower()
        if name in found and name in SYMBOL_CANDLE_SCHEMA.names:
            raise _refused(name, f"{path.name} has the column twice: {found[name]!r} and {own!r}")
        found[name] = own
    missing = [name for name in SYMBOL_CANDLE_SCHEMA.names if name not in found]
    if missing:
        reason = f"{path.name} has no column {', '.join(missing)}; it has {', '.join(header)[:200]}"
        raise InvalidRequest(reason, tuple((name, "column is missing") for name in missing))
    return {name: found[name] for name in SYMBOL_CANDLE_SCHEMA.names}


def _column(path: Path, name: str, own: str, values: pa.ChunkedArray) -> pa.Array:
    try:
        return _READERS.get(name, number_column)(values)
    except BadCell as error:
        line = f" (line {_line_of(path, error.row)})" if path.suffix.lower() == ".csv" else ""
        raise _refused(name, f"{path.name}, row {error.row + 1}{line}, column {own}: {error.reason}") from None


def _symbols(values: pa.ChunkedArray) -> pa.Array:
    """Return names of which each can be a symbol's: one that cannot would end an import in the middle."""
    names = text_column(values)
    told = names.dictionary_encode()
    for code, name in enumerate(told.dictionary.to_pylist()):
        try:
            canonical(name)
        except InvalidRequest as error:
            raise BadCell(pc.index(told.indices, code).as_py(), error.detail) from None
    return names


def _times(values: pa.ChunkedArray) -> pa.Array:
    """Return instants since 1970, where candles begin."""
    instants = time_column(values)
    early = pc.less(instants, pa.scalar(EPOCH, instants.type))
    if pc.any(early).as_py():
        row = pc.index(early, True).as_py()
        raise BadCell(row, f"{instants[row].as_py():%Y-%m-%d %H:%M} lies before 1970")
    return instants


_READERS = {"symbol": _symbols, "time": _times}


def _line_of(path: Path, row: int) -> int:
    """Return the line on which a data row stands; empty lines are no rows."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        filled = (number for number, line in enumerate(lines, start=1) if line.strip())
        return next(islice(filled, row + 1, None))


def _refused(field: str, reason: str) -> InvalidRequest:
    return InvalidRequest(reason, ((field, reason),))
