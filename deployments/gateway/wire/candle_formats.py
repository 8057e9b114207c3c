"""Candles on the wire: JSON rows or columns, Arrow and CSV, all written from columns."""

import io
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.csv

from deployments.gateway.wire.encoding import OPTIONS, to_json
from deployments.gateway.wire.representation import quality_of
from deployments.market_data.models import CANDLE_SCHEMA, Candles

COLUMNS = tuple(CANDLE_SCHEMA.names)
ARROW_TYPE = "application/vnd.apache.arrow.stream"
CSV_TYPE = "text/csv"
JSON_TYPE = "application/json"

_ROW = b"{" + b",".join(b'"%b":%%b' % name.encode() for name in COLUMNS) + b"}"


class Layout(StrEnum):
    """How JSON holds candles: an object per candle, or an array per column."""

    ROWS = "rows"
    COLUMNS = "columns"


def chosen_type(accept: str) -> str:
    """Return that media type of ours which an `Accept` header likes best, the first of equals; without one JSON."""
    best, chosen = 0.0, JSON_TYPE
    for item in accept.lower().split(","):
        name, _, parameters = item.partition(";")
        liked = quality_of(parameters)
        if liked > best and name.strip() in {ARROW_TYPE, CSV_TYPE, JSON_TYPE}:
            best, chosen = liked, name.strip()
    return chosen


def candles_json(candles: Candles, layout: Layout = Layout.ROWS) -> bytes:
    """Return the documented JSON answer."""
    return to_json(candles_body(candles, layout))


def candles_body(candles: Candles, layout: Layout = Layout.ROWS) -> dict[str, Any]:
    """Return the answer as a dict whose candles are JSON already."""
    columns = rows = None
    if layout is Layout.COLUMNS:
        columns = (
            b"{" + b",".join(b'"%b":%b' % (name.encode(), _column(candles.table, name)) for name in COLUMNS) + b"}"
        )
    else:
        rows = _rows(candles.table)
    return {
        "symbol": candles.symbol,
        "interval": candles.interval,
        "count": candles.table.num_rows,
        "candles": orjson.Fragment(columns or rows or b""),
        "source": candles.source,
        "data_as_of": candles.data_as_of,
        "stale": candles.stale,
        "gaps": candles.gaps,
        "forming": candles.forming,
        "incomplete": candles.incomplete,
    }


def candles_arrow(candles: Candles) -> bytes:
    """Return an Arrow stream; the schema's metadata say where the candles come from."""
    facts = {name: str(value) for name, value in provenance(candles).items()}
    sink = io.BytesIO()
    table = candles.table.replace_schema_metadata(facts)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def candles_csv(candles: Candles) -> bytes:
    """Return CSV with a header line, times as RFC 3339."""
    times = np.char.add(np.datetime_as_string(_values(candles.table, "time"), unit="s"), "Z")
    table = candles.table.set_column(0, "time", pa.array(times.astype(object), pa.string()))
    sink = io.BytesIO()
    pyarrow.csv.write_csv(table, sink, pyarrow.csv.WriteOptions(quoting_style="none"))
    return sink.getvalue()


def provenance(candles: Candles) -> dict[str, str]:
    """Return as headers what JSON says beside the candles."""
    return {
        "X-Data-Symbol": candles.symbol,
        "X-Data-Interval": candles.interval.value,
        "X-Data-Source": candles.source.value,
        "X-Data-As-Of": to_json(candles.data_as_of).decode().strip('"'),
        "X-Data-Stale": str(candles.stale).lower(),
        "X-Data-Gaps": str(len(candles.gaps)),
        "X-Data-Incomplete": str(len(candles.incomplete)),
    }


def _rows(table: pa.Table) -> bytes:
    """Write each column at once and deal its texts out to the rows: no dict and no float object per candle."""
    if not table.num_rows:
        return b"[]"
    columns = [_column(table, name)[1:-1].split(b",") for name in COLUMNS]
    return b"[" + b",".join([_ROW % row for row in zip(*columns, strict=True)]) + b"]"


def _column(table: pa.Table, name: str) -> bytes:
    return orjson.dumps(_values(table, name), option=OPTIONS)


def _values(table: pa.Table, name: str) -> npt.NDArray[Any]:
    return np.ascontiguousarray(table.column(name).to_numpy())
