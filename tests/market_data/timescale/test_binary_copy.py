"""Candles through PostgreSQL's binary format: whatever a column can hold comes back bit by bit."""

import math
import struct
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments.common.settings import DatabaseSettings
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA
from deployments.market_data.timescale.binary_copy import COLUMNS, blocks, encoded, keyed_rows
from deployments.market_data.timescale.pool import arguments_of, connect

Row = tuple[Any, ...]

names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
instants = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
numbers = st.floats(allow_nan=False)
rows_of = st.lists(st.tuples(names, instants, *[numbers] * 5), max_size=30)

TABLE = """CREATE TEMPORARY TABLE told (symbol text, time timestamptz, open double precision, high double precision,
    low double precision, close double precision, volume double precision)"""


def table_of(rows: list[Row]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [[]] * 7
    fields = zip(columns, SYMBOL_CANDLE_SCHEMA, strict=True)
    return pa.table([pa.array(column, field.type) for column, field in fields], schema=SYMBOL_CANDLE_SCHEMA)


def bits(rows: list[Row]) -> set[Row]:
    return {(*row[:2], *(struct.pack(">d", value) for value in row[2:])) for row in rows}


async def through_postgres(connection: Any, table: pa.Table) -> list[Row]:
    await connection.execute("TRUNCATE told")
    source = blocks(encoded(keyed_rows(table, {})))
    await connection.copy_to_table("told", source=source, columns=COLUMNS, format="binary")
    return [tuple(row) for row in await connection.fetch(f"SELECT {', '.join(COLUMNS)} FROM told")]  # noqa: S608


@pytest.mark.db
async def test_rows_come_back_bit_by_bit_and_of_equal_keys_the_last(database: DatabaseSettings) -> None:
    connection = await connect(arguments_of(database))
    wanted: list[list[Row]] = []  # gathered first: hypothesis runs no coroutine

    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
    @given(rows_of)
    def check(rows: list[Row]) -> None:
        wanted.append(rows)

    check()
    await connection.execute(TABLE)
    for rows in wanted:
        last = {row[:2]: row for row in rows}
        assert bits(await through_postgres(connection, table_of(rows))) == bits(list(last.values()))
    await connection.close()


def test_stored_spellings_replace_names_and_spans_tell_first_and_last() -> None:
    times = [datetime(2024, 1, day, tzinfo=UTC) for day in (3, 1, 2)]
    rows = [(name, time, 1.0, 1.0, 1.0, 1.0, math.pi) for time in times for name in ("BTCUSD", "AAPL")]
    keyed = keyed_rows(table_of(rows), {"BTCUSD": "btc/usd"})
    assert len(keyed) == 6
    assert keyed.spans == (["AAPL", "btc/usd"], [times[1]] * 2, [times[0]] * 2)
    assert encoded(keyed).count(b"btc/usd") == 3


def test_no_rows_are_a_header_and_a_trailer() -> None:
    assert encoded(keyed_rows(SYMBOL_CANDLE_SCHEMA.empty_table(), {})) == b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\xff\xff"
