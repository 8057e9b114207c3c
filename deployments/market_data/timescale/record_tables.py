"""From rows as the driver returns them to columns."""

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc


def table_of(records: Sequence[Iterable[object]], schema: pa.Schema, skip: int = 0) -> pa.Table:
    """Turn records, less their first `skip` columns, into a table; a NULL price becomes a null that checks refuse."""
    if not records:
        return schema.empty_table()
    columns = list(zip(*records, strict=True))[skip:]
    return pa.table([_array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema)


def _array(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, kind)
    except pa.ArrowInvalid:
        if not pa.types.is_floating(kind):
            raise
        # A desk's table may keep numbers as NUMERIC, which come as decimals.
        return pa.array([None if value is None else float(str(value)) for value in values], kind)


def distinct(table: pa.Table) -> pa.Table:
    """Keep the first row of each time of an ascending table."""
    times = table["time"].combine_chunks()
    if len(times) < 2:
        return table
    fresh = pc.not_equal(times[1:], times[:-1])
    return table if pc.all(fresh).as_py() else table.filter(pa.concat_arrays([pa.array([True]), fresh]))


def newest(table: pa.Table, limit: int) -> pa.Table:
    """Return the last `limit` rows."""
    return table.slice(max(0, table.num_rows - limit))
